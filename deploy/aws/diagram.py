"""Draws docs/aws.svg, the parts of deploy/aws/stack.yaml, from the description below: `python3 deploy/aws/diagram.py`.

Boxes stand in a grid of columns and rows. The picture follows the reader's dark or light mode.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

TARGET = Path(__file__).resolve().parents[2] / "docs" / "aws.svg"
TITLE = "Lockstep on AWS"

# name | what it is | columns | rows | title
ZONES = """
vpc      | network | 1-3 | 0-2 | VPC, two availability zones
public   | public  | 1-1 | 0-2 | public subnets
private  | private | 2-3 | 0-2 | private subnets
cluster  | cluster | 2-2 | 0-2 | ECS cluster
"""

# name | what it is | column | rows | title | what stands below it
BOXES = """
clients  | outside | 0 | 0-0 | Clients             | browsers, shops, partners
remote   | outside | 0 | 1-1 | Remote systems      | providers, webhooks, payments
operator | outside | 0 | 3-3 | Operator            | docs/deployment-aws.md
balancer | aws     | 1 | 0-0 | Load balancer       | TLS; asks tasks for /readyz
nat      | aws     | 1 | 1-1 | NAT gateways        | one in each zone
web      | ours    | 2 | 0-0 | web                 | Fargate, 2 to 6 tasks by CPU
worker   | ours    | 2 | 1-1 | worker              | Fargate, 2 to 3 tasks by CPU
command  | ours    | 2 | 2-2 | migrate, commands   | Fargate, one task, then gone
database | store   | 3 | 0-2 | RDS PostgreSQL      | data and change log; standby in another zone; backups for 14 days
registry | aws     | 1 | 3-3 | ECR                 | images, never overwritten
secrets  | aws     | 2 | 3-3 | Secrets Manager     | read when a task starts
watch    | aws     | 3 | 3-3 | CloudWatch          | logs, metrics, alarms
"""

# from, side -> to, side | label.  `under` goes below all boxes.
ARROWS = """
clients right   -> balancer left   | https
balancer right  -> web left        | http
web right       -> database left   | TLS
worker right    -> database left   | TLS
command right   -> database left   | TLS
worker left     -> nat right       | deliveries
nat left        -> remote right    | https
operator right  -> registry left   | push
registry top    -> cluster left    | images by digest
secrets top     -> cluster bottom  | secrets
private bottom  -> watch top       | logs, metrics
watch under     -> operator bottom | alarms by SNS and e-mail
"""

WIDTH, HEIGHT = 196, 88
GAP_X, GAP_Y = 140, 64
LEFT, TOP = 36, 136
# Of a zone: how far it reaches beyond its boxes, and above them, where its title stands.
ZONE_PADDING = {"network": (38, 74), "public": (25, 50), "private": (25, 50), "cluster": (12, 28)}
BELOW = 34  # how far an arrow goes below the boxes
CHARACTERS = 28  # of a line in a box

STYLE = """
text { font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1d2733; text-anchor: middle }
.heading { font-size: 19px; font-weight: 600; text-anchor: start }
.title { font-size: 14px; font-weight: 600 }
.note, .label { fill: #4a5968 }
.label { font-size: 11px }
.zone { font-size: 12px; font-weight: 600; text-anchor: start; fill: #4a5968 }
.paper { fill: #ffffff }
rect { stroke-width: 1.5 }
rect.network { fill: #f5f7fa; stroke: #9fb0c0; stroke-dasharray: 6 4 }
rect.public { fill: #e9f6ec; stroke: #8cc49a }
rect.private { fill: #e8f0fb; stroke: #8fb2e0 }
rect.cluster { fill: none; stroke: #8fb2e0; stroke-dasharray: 3 3 }
rect.outside { fill: #ffffff; stroke: #7b8794 }
rect.aws { fill: #fff6e5; stroke: #d99a2b }
rect.ours { fill: #ffffff; stroke: #2f6fd0; stroke-width: 2.5 }
rect.store { fill: #f2eafd; stroke: #8a5fd0 }
.arrow { fill: none; stroke: #52606d; stroke-width: 1.6 }
.head { fill: #52606d }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.note, .label, .zone { fill: #aab7c4 }
.paper { fill: #0d1117 }
rect.network { fill: #141a22; stroke: #52606d }
rect.public { fill: #13251a; stroke: #3f7d52 }
rect.private { fill: #13203a; stroke: #3c63a3 }
rect.cluster { stroke: #3c63a3 }
rect.outside { fill: #1b222c; stroke: #8593a1 }
rect.aws { fill: #2b2210; stroke: #b98224 }
rect.ours { fill: #16243d; stroke: #6ea3f5 }
rect.store { fill: #241a38; stroke: #a583e6 }
.arrow { stroke: #aab7c4 }
.head { fill: #aab7c4 }
}
""".strip()


@dataclass(frozen=True)
class Box:
    """A rectangle with a text."""

    kind: str
    title: str
    note: str
    x: int
    y: int
    width: int
    height: int

    def side(self, name: str, level: "Box | None" = None) -> tuple[int, int]:
        """The middle of a side; of a left or right one beside `level`, where that is shorter."""
        middle = level if level and level.height < self.height else self
        y = middle.y + middle.height // 2
        x = self.x + self.width // 2
        return {
            "left": (self.x, y),
            "right": (self.x + self.width, y),
            "top": (x, self.y),
            "bottom": (x, self.y + self.height),
            "under": (x, self.y + self.height),
        }[name]


def table(text: str) -> Iterator[list[str]]:
    """The cells of each line."""
    for line in text.strip().splitlines():
        yield [cell.strip() for cell in line.split("|")]


def span(text: str) -> tuple[int, int]:
    """`1-3`, or `1` for `1-1`."""
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def place(kind: str, columns: str, rows: str, title: str, note: str = "") -> Box:
    """The box over these columns and rows."""
    (left, right), (first, last) = span(columns), span(rows)
    x, y = LEFT + left * (WIDTH + GAP_X), TOP + first * (HEIGHT + GAP_Y)
    width = (right - left) * (WIDTH + GAP_X) + WIDTH
    height = (last - first) * (HEIGHT + GAP_Y) + HEIGHT
    beside, above = ZONE_PADDING.get(kind, (0, 0))
    return Box(kind, title, note, x - beside, y - above, width + 2 * beside, height + above + beside)


def lines_of(text: str) -> list[str]:
    """A text in lines of at most CHARACTERS, broken behind a semicolon where there is one."""
    lines: list[str] = []
    for part in text.split("; "):
        lines.append("")
        for word in part.split():
            if len(lines[-1]) + len(word) >= CHARACTERS:
                lines.append("")
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def draw_zone(zone: Box) -> Iterator[str]:
    """A box around boxes, with its title inside."""
    yield (f'<rect class="{zone.kind}" x="{zone.x}" y="{zone.y}" width="{zone.width}" height="{zone.height}" rx="10"/>')
    yield f'<text class="zone" x="{zone.x + 12}" y="{zone.y + 18}">{escape(zone.title)}</text>'


def draw_box(box: Box) -> Iterator[str]:
    """A box with its title and what stands below it, in the middle."""
    yield (f'<rect class="{box.kind}" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8"/>')
    notes = lines_of(box.note)
    x, y = box.x + box.width // 2, box.y + box.height // 2 + 5 - 9 * len(notes)
    yield f'<text class="title" x="{x}" y="{y}">{escape(box.title)}</text>'
    for number, line in enumerate(notes, 1):
        yield f'<text class="note" x="{x}" y="{y + 3 + 17 * number}">{escape(line)}</text>'


def draw_arrow(path: str, label: str, boxes: dict[str, Box]) -> Iterator[str]:
    """A line with a head, and its label beside it."""
    (start, leaves), (end, enters) = (part.split() for part in path.split("->"))
    one, other = boxes[start], boxes[end]
    (x1, y1), (x2, y2) = one.side(leaves, other), other.side(enters, one)
    if leaves == "under":
        below = max(y1, y2) + BELOW
        points, at = f"M{x1} {y1}V{below}H{x2}V{y2 + 7}", ((x1 + x2) // 2, below - 7)
    elif leaves == "top" and enters == "left":
        y = other.y + other.height - ZONE_PADDING[other.kind][0] - HEIGHT // 2  # level with the last of its boxes
        points, at = f"M{x1} {y1}V{y}H{x2 - 7}", (x1 + 56, y - 8)
    elif leaves == "top":
        points, at = f"M{x1} {y1}V{y2 + 7}", (x1 + 30, y1 - 8)
    elif leaves == "bottom":
        points, at = f"M{x2} {y1}V{y2 - 7}", (x2 + 44, y2 - 8)
    else:
        points, at = f"M{x1} {y1}H{x2 - 7 if x2 > x1 else x2 + 7}", ((x1 + x2) // 2, y1 - 8)
    yield f'<path class="arrow" d="{points}" marker-end="url(#head)"/>'
    yield f'<text class="label" x="{at[0]}" y="{at[1]}">{escape(label)}</text>'


def draw() -> str:
    """The whole picture, as SVG."""
    boxes = {name: place(*rest) for name, *rest in table(BOXES)}
    zones = {name: place(*rest) for name, *rest in table(ZONES)}
    width = max(box.x + box.width for box in boxes.values()) + LEFT + ZONE_PADDING["network"][0]
    height = max(box.y + box.height for box in boxes.values()) + BELOW + 22
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-labelledby="title"><title id="title">{escape(TITLE)}</title>',
        f"<style>\n{STYLE}\n</style>",
        '<defs><marker id="head" viewBox="0 0 10 10" refX="2" refY="5" markerWidth="8" markerHeight="8"'
        ' markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0L10 5L0 10z"/></marker></defs>',
        f'<rect class="paper" width="{width}" height="{height}"/>',
        f'<text class="heading" x="{LEFT}" y="38">{escape(TITLE)}</text>',
    ]
    for zone in zones.values():
        parts += draw_zone(zone)
    for path, label in table(ARROWS):
        parts += draw_arrow(path, label, zones | boxes)
    for box in boxes.values():
        parts += draw_box(box)
    return "\n".join([*parts, "</svg>\n"])


def main() -> int:
    """Writes the file."""
    TARGET.write_text(draw(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
