"""Serializers of state machines."""

from rest_framework import serializers

from lockstep.rest.serializers import ApiSerializer


class TransitionSerializer(ApiSerializer):
    """A transition from one state to another."""

    name = serializers.CharField()
    from_state = serializers.CharField(source="source")
    to_state = serializers.CharField(source="target")
    meaning = serializers.CharField()


class MachineSerializer(ApiSerializer):
    """The states and transitions of one kind of object."""

    name = serializers.CharField()
    initial = serializers.ListField(child=serializers.CharField())
    transitions = TransitionSerializer(many=True)
    diagram = serializers.CharField(help_text="The state diagram, in Mermaid's syntax.")
    example = {
        "name": "a bag",
        "initial": ["OPEN"],
        "transitions": [{"name": "order", "from_state": "OPEN", "to_state": "ORDERED", "meaning": "It is ordered."}],
        "diagram": "stateDiagram-v2\n    [*] --> OPEN\n    OPEN --> ORDERED: order\n    ORDERED --> [*]",
    }
