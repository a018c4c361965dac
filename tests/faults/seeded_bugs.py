"""Mistakes that somebody could make in the guarantees, and the test that must catch each."""

from dataclasses import dataclass

CAPTURE = "lockstep/changes/sql/capture.sql"
RELAY = "lockstep/delivery/sql/relay.sql"
OPERATIONS = "lockstep/delivery/sql/operations.sql"
LANES = "lockstep/delivery/sql/lanes.sql"
LANES_PY = "lockstep/delivery/lanes.py"
COLLECTION = "lockstep/mirror/sql/collection.sql"
SHOP_ORDERS = "lockstep/shop/sql/orders.sql"
TEST_SHOP = "lockstep/shop/tests"
TEST_CAPTURE = "lockstep/changes/tests/test_capture.py"
TEST_RELAY = "lockstep/delivery/tests/test_relay.py"
TEST_LANES = "lockstep/delivery/tests/test_lanes.py"
TEST_COURIER = "lockstep/delivery/tests/test_courier.py"
TEST_OPERATIONS = "lockstep/delivery/tests/test_operations.py"
TEST_PARTITIONS = "lockstep/delivery/tests/test_partitions.py"
TEST_SCHEDULES = "tests/faults/test_schedules.py::test_schedules"
TEST_ADDRESSES = "lockstep/delivery/destinations/tests/test_addresses.py"
TEST_SENDING = "lockstep/webhooks/tests/test_sending.py"
TEST_BEARER = "lockstep/accounts/tests/test_bearer.py"
TEST_DOORS = "lockstep/accounts/tests/test_doors.py"
TEST_PUSH = "lockstep/mirror/tests/test_push.py"
TEST_APPLY = "lockstep/mirror/tests/test_apply.py"
TEST_SYNC = "lockstep/mirror/tests/test_sync.py"
TEST_IMPORT = "lockstep/mirror/tests/test_import.py"


@dataclass(frozen=True)
class SeededBug:
    """In `file`, `right` (which stands there `times` times) becomes `wrong`; `caught_by` must then fail."""

    name: str
    file: str
    right: str
    wrong: str
    caught_by: str
    times: int = 1


BUGS = [
    SeededBug(
        "transactions that were open at the last snapshot are forgotten",
        RELAY,
        "c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(start)s::pg_snapshot)))",
        "false",
        f"{TEST_RELAY}::test_a_transaction_that_drew_its_number_early_and_committed_late_is_not_lost",
    ),
    SeededBug(
        "uncommitted neighbours close the window: an xmin horizon instead of the snapshot",
        RELAY,
        "AND pg_visible_in_snapshot(c.xid, %(end)s::pg_snapshot)",
        "AND c.xid < pg_snapshot_xmin(%(end)s::pg_snapshot)",
        f"{TEST_RELAY}::test_a_transaction_left_open_delays_nothing_but_itself",
    ),
    SeededBug(
        "the last chunk of a window is left out",
        "lockstep/delivery/relay.py",
        '"is_last": to_seq > window.last',
        '"is_last": to_seq > window.last - chunk',
        f"{TEST_RELAY}::test_a_large_window_goes_out_in_chunks",
    ),
    SeededBug(
        "the next chunk starts a number too late",
        RELAY,
        "NULL ELSE %(to_seq)s END",
        "NULL ELSE %(to_seq)s + 1 END",
        f"{TEST_RELAY}::test_a_large_window_goes_out_in_chunks",
    ),
    SeededBug(
        "a relay that looked long ago fans out what another one did meanwhile",
        RELAY,
        "state = 'active' AND window_start::text = %(start)s\n",
        "state = 'active'\n",
        f"{TEST_RELAY}::test_a_window_that_another_worker_fanned_out_meanwhile_is_left_alone",
    ),
    SeededBug(
        "a relay that looked long ago goes back in an open window",
        RELAY,
        "window_end::text = %(end)s AND window_seq = %(seq)s",
        "window_end::text = %(end)s",
        f"{TEST_RELAY}::test_a_window_that_another_worker_fanned_out_meanwhile_is_left_alone",
    ),
    SeededBug(
        "fan-out and settlement take lanes in different orders",
        LANES,
        "ORDER BY lane.subscription_id, lane.model, lane.object_id\n",
        "ORDER BY lane.id\n",
        f"{TEST_RELAY}::test_fan_out_and_settlement_take_lanes_in_one_order",
    ),
    SeededBug(
        "lanes are locked while a handler works",
        "lockstep/delivery/lanes.py",
        "        await handler(connection, claims)\n",
        "        await _lock_claimed(connection, claims)\n        await handler(connection, claims)\n",
        "lockstep/delivery/tests/test_within.py::test_a_handler_that_takes_its_time_holds_nobody_up",
    ),
    SeededBug(
        "nobody listens whether a connection was closed",
        "lockstep/delivery/database.py",
        "if said.poll(0):",
        "if False:",
        "lockstep/delivery/tests/test_database.py::test_a_connection_whose_server_went_away_is_not_given_out",
    ),
    SeededBug(
        "what came late is never looked for",
        "lockstep/delivery/worker.py",
        "courier.horizon.forget()",
        "pass",
        f"{TEST_COURIER}::test_a_lane_that_came_late_is_found_by_a_thorough_look",
    ),
    SeededBug(
        "who looks for due lanes begins too late",
        LANES_PY,
        "max(self.moment, latest - LATENESS)",
        "max(self.moment, latest + LATENESS)",
        f"{TEST_LANES}::test_who_looks_from_a_horizon_finds_what_came_since",
    ),
    SeededBug(
        "imports are echoed back",
        RELAY,
        "chunk.origin IS DISTINCT FROM place.skip_origin",
        "true",
        f"{TEST_IMPORT}::test_the_import_is_not_echoed_back",
    ),
    SeededBug(
        "no fencing token",
        LANES,
        "ON claim.lane_id = lane.id AND claim.token = lane.token",
        "ON claim.lane_id = lane.id",
        f"{TEST_LANES}::test_a_stale_ack_changes_nothing",
    ),
    SeededBug(
        "tokens that start anew with each lane",
        LANES,
        "SET token = delivery_draw_token(), next_at",
        "SET token = lane.token + 1, next_at",
        f"{TEST_LANES}::test_a_token_never_returns_with_a_lane_that_does",
    ),
    SeededBug(
        "the ack does not wait for a fan-out to the same lane",
        LANES,
        "ORDER BY lane.subscription_id, lane.model, lane.object_id\nFOR UPDATE OF lane;",
        "ORDER BY lane.subscription_id, lane.model, lane.object_id;",
        f"{TEST_LANES}::test_a_change_that_is_fanned_out_while_its_lane_is_acked_is_not_lost",
    ),
    SeededBug(
        "an event subscription absorbs",
        "lockstep/delivery/lanes.py",
        '"latest": subscriber.kind == "state"',
        '"latest": True',
        f"{TEST_LANES}::test_an_event_subscription_gets_every_change_in_order",
    ),
    SeededBug(
        "ack before send",
        "lockstep/delivery/courier.py",
        "        receipt, error = await self._attempt(handler, lot)",
        "        self._ended += [Outcome(claim) for claim in lot]\n        self.wakened.set()\n"
        "        receipt, error = await self._attempt(handler, lot)",
        f"{TEST_COURIER}::test_a_delivery_is_settled_only_when_its_handler_is_done",
    ),
    SeededBug(
        "a lease shorter than the deadline",
        "lockstep/delivery/subscriptions.py",
        "return self.deadline + 5.0",
        "return self.deadline - 5.0",
        f"{TEST_LANES}::test_a_lease_outlasts_its_deadline",
    ),
    SeededBug(
        "waiting for a parent uses up attempts",
        LANES,
        "attempts = CASE failed.failure WHEN 'not yet' THEN lane.attempts - 1 ELSE lane.attempts END,",
        "attempts = lane.attempts,",
        f"{TEST_LANES}::test_a_lane_that_waits_for_another_delivery_waits_by_its_age_and_loses_no_attempt",
    ),
    SeededBug(
        "an outage's end wakes nobody",
        "lockstep/delivery/courier.py",
        'SQL["lanes"]["wake"]',
        'SQL["lanes"]["probe"]',
        f"{TEST_COURIER}::test_what_waited_for_a_silent_remote_goes_on_when_it_answers",
    ),
    SeededBug(
        "attribution outlives its transaction",
        "lockstep/changes/attribution.py",
        "set_config('lockstep.origin', %s, true)",
        "set_config('lockstep.origin', %s, false)",
        f"{TEST_CAPTURE}::test_attribution_ends_with_its_transaction",
    ),
    SeededBug(
        "a deletion of a post leaves its comments",
        "lockstep/posts/migrations/0001_initial.py",
        "WHERE post_id = NEW.id AND deleted IS NULL",
        "WHERE post_id = NEW.id AND deleted IS NOT NULL",
        f"{TEST_CAPTURE}::test_deleting_a_post_deletes_its_comments_by_any_statement",
    ),
    SeededBug(
        "a creation whose answer was lost is simply sent again",
        "lockstep/mirror/push.py",
        "if remote_id is None and known.lost_creation:",
        "if False:",
        f"{TEST_PUSH}::test_a_creation_whose_answer_was_lost_is_looked_up_before_it_is_sent_again",
        times=2,
    ),
    SeededBug(
        "the look-up takes another object's copy",
        "lockstep/mirror/push.py",
        "            if await self.remotes[collection.name].take(object_id, remote_id):\n",
        "            if await self.remotes[collection.name].take(object_id, remote_id) or True:\n",
        f"{TEST_PUSH}::test_the_look_up_does_not_take_another_objects_copy",
    ),
    SeededBug(
        "a deletion in doubt is sent again without a look",
        "lockstep/mirror/push.py",
        "known.lost_deletion not in (None, copy)",
        "False",
        f"{TEST_PUSH}::test_a_deletion_whose_answer_was_lost_does_not_delete_who_got_the_id_next",
    ),
    SeededBug(
        "only what was acknowledged counts as our copy",
        "lockstep/mirror/push.py",
        "known.lost_deletion not in (None, copy)",
        'known.lost_deletion and copy != f"{known.acknowledged}".replace("-", "")',
        f"{TEST_PUSH}::test_a_copy_whose_update_got_no_answer_is_deleted_although_its_deletion_got_none_either",
    ),
    SeededBug(
        "nobody tells of a commit",
        "lockstep/changes/attribution.py",
        "        announce_commit()\n        yield",
        "        yield",
        "lockstep/delivery/tests/test_wakeup.py::test_a_commit_is_heard_of",
    ),
    SeededBug(
        "an ack takes along what was replayed before it",
        LANES,
        "(d.seq = done.seq OR s.kind = 'state' AND d.seq < done.seq)",
        "d.seq <= done.seq",
        f"{TEST_OPERATIONS}::test_an_event_replayed_while_a_later_one_is_being_delivered_is_not_lost",
    ),
    SeededBug(
        "a replay brings an old state back",
        OPERATIONS,
        "ORDER BY c.seq DESC LIMIT 1",
        "ORDER BY c.seq LIMIT 1",
        f"{TEST_OPERATIONS}::test_a_state_subscription_is_sent_the_latest_state_and_never_an_old_one",
    ),
    SeededBug(
        "a rewind leaves out what was written early and committed late",
        OPERATIONS,
        "SELECT min(c.seq) FROM changes_change c JOIN delivery_subscription s",
        "SELECT min(c.seq) + 1000000 FROM changes_change c JOIN delivery_subscription s",
        f"{TEST_OPERATIONS}::test_a_rewind_takes_along_what_was_written_early_and_committed_late",
    ),
    SeededBug(
        "a paused subscription goes on delivering",
        LANES,
        "WHERE s.name = %(subscription)s AND s.state IN ('active', 'full'))",
        "WHERE s.name = %(subscription)s)",
        f"{TEST_OPERATIONS}::test_a_paused_subscription_delivers_nothing_and_loses_nothing",
    ),
    SeededBug(
        "retention drops what waits in a lane",
        "lockstep/delivery/sql/upkeep.sql",
        "d.at >= %(from)s",
        "false AND d.at >= %(from)s",
        f"{TEST_PARTITIONS}::test_what_waits_in_a_lane_is_kept_until_it_is_delivered",
    ),
    SeededBug(
        "retention drops what is not fanned out",
        "lockstep/delivery/sql/upkeep.sql",
        "c.at >= %(from)s AND",
        "false AND c.at >= %(from)s AND",
        f"{TEST_PARTITIONS}::test_what_is_not_fanned_out_is_kept",
    ),
    SeededBug(
        "a handler within our database does not ask whether its claim still holds",
        "lockstep/delivery/lanes.py",
        "if len(await _lock_claimed(connection, claims)) < len(claims):",
        "if len(await _lock_claimed(connection, claims)) < 0:",
        "lockstep/delivery/tests/test_within.py::test_a_claim_that_was_lost_writes_nothing",
    ),
    SeededBug(
        "whoever waits for a lane keeps a connection",
        "lockstep/mirror/apply.py",
        "        async with self.pool.connection() as connection:\n            return await lanes.hold(",
        "        if connection := await self.pool.getconn():\n            return await lanes.hold(",
        f"{TEST_APPLY}::test_whoever_waits_for_a_lane_keeps_no_connection_from_the_worker_that_holds_it",
    ),
    SeededBug(
        "a deletion that was never seen to happen is left alone",
        COLLECTION,
        "OR known.unkept_at IS NOT NULL",
        "OR false",
        f"{TEST_SYNC}::test_the_check_mends_what_a_provider_said_yes_to_before_it_was_known_to_keep_anything",
    ),
    SeededBug(
        "whose deletion is in doubt keeps its id from others",
        "lockstep/mirror/sql/remote.sql",
        "AND NOT coalesce(other.intent ? 'delete', false)",
        "",
        f"{TEST_PUSH}::test_a_copy_that_got_the_id_of_a_deletion_in_doubt_is_found_when_it_is_deleted_itself",
    ),
    SeededBug(
        "two that were given one id lose it to each other",
        "lockstep/mirror/remote.py",
        'connection.transaction():\n            await connection.execute(SQL["lock_remote_id"], parameters)\n',
        "connection.pipeline():\n",
        f"{TEST_PUSH}::test_of_two_that_were_given_the_same_id_one_has_it_in_the_end",
    ),
    SeededBug(
        "an id that was given again stays with both until its own collection was seen to keep a write",
        "lockstep/mirror/sql/remote.sql",
        "kept.collection = ANY (%(collections)s)",
        "kept.collection = %(collection)s",
        f"{TEST_PUSH}::test_an_id_given_again_is_the_heirs_where_any_collection_was_seen_to_keep_a_write",
    ),
    SeededBug(
        "the first write that is seen leaves an id with both that were given it",
        "lockstep/mirror/sql/remote.sql",
        "copy.acknowledged_at < last.acknowledged_at",
        "false",
        f"{TEST_PUSH}::test_the_first_write_that_is_seen_settles_who_has_an_id_that_was_given_twice",
    ),
    SeededBug(
        "nobody looks after who lost an id when a write was seen",
        "lockstep/mirror/push.py",
        "if await remote.verify(object_id, remote_id):",
        "if not await remote.verify(object_id, remote_id):",
        f"{TEST_PUSH}::test_a_push_that_settles_who_has_an_id_asks_for_a_look_at_the_provider",
    ),
    SeededBug(
        "what lost its id long ago is taken for others' drift",
        COLLECTION,
        "OR ours.remote_id IS NULL AND ours.acknowledged_at IS NOT NULL",
        "",
        f"{TEST_SYNC}::test_the_check_mends_what_lost_its_id_to_another_object_long_ago",
    ),
    SeededBug(
        "a provider's yes is believed although it shows nothing",
        "lockstep/mirror/push.py",
        "if await keeps_writes(connection, self.mirror):",
        "if False:",
        f"{TEST_PUSH}::test_a_yes_without_effect_is_no_success_where_writes_are_kept",
    ),
    SeededBug(
        "acknowledged counts as verified",
        "lockstep/mirror/push.py",
        "if found is None or not same(found, body):",
        "if False:",
        f"{TEST_PUSH}::test_acknowledged_is_not_verified",
    ),
    SeededBug(
        "a plan deletes a creation in doubt",
        COLLECTION,
        "lost.intent -> 'create' = listed.body",
        "false",
        f"{TEST_SYNC}::test_a_creation_in_doubt_is_neither_deleted_nor_created_twice",
    ),
    SeededBug(
        "an import forgets what it knows",
        COLLECTION,
        "WHERE known.collection = '{key}' AND known.remote_id = e.id::text)",
        "WHERE false)",
        f"{TEST_IMPORT}::test_a_second_import_changes_nothing",
    ),
    SeededBug(
        "what a provider sweeps away is not mended",
        "lockstep/mirror/push.py",
        "        await self.unsettled()\n        found =",
        "        found =",
        f"{TEST_SYNC}::test_what_a_provider_deletes_beyond_what_it_was_asked_comes_back",
    ),
    SeededBug(
        "two holders of one lane are not told apart, in any order of events",
        LANES,
        "ON claim.lane_id = lane.id AND claim.token = lane.token",
        "ON claim.lane_id = lane.id",
        TEST_SCHEDULES,
    ),
    SeededBug(
        "a full subscription is filled on",
        RELAY,
        "ELSE 'full' END",
        "ELSE s.state END",
        "lockstep/delivery/tests/test_cap.py::test_a_full_subscription_takes_no_more_and_says_so",
    ),
    SeededBug(
        "one that cannot be handled takes its batch along",
        "lockstep/delivery/courier.py",
        "if error and len(lot) > 1:",
        "if False:",
        "lockstep/delivery/tests/test_within.py::test_one_that_cannot_be_handled_does_not_take_its_batch_along",
    ),
    SeededBug(
        "nobody looks at what is due",
        "lockstep/delivery/worker.py",
        "if seconds <= 0):",
        "if False):",
        f"{TEST_COURIER}::test_what_is_due_again_is_seen_from_outside",
    ),
    SeededBug(
        "a place in the feed is a number",
        "lockstep/delivery/sql/following.sql",
        "  AND (c.xid >= pg_snapshot_xmax(%(start)s::pg_snapshot) AND c.xid < pg_snapshot_xmax(%(end)s::pg_snapshot)\n"
        "       OR c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(start)s::pg_snapshot))))",
        "  AND c.xid >= pg_snapshot_xmax(%(start)s::pg_snapshot)",
        "lockstep/delivery/tests/test_following.py::test_a_transaction_that_was_open_at_the_place_is_not_missed",
    ),
    SeededBug(
        "the feed passes over what retention dropped",
        "lockstep/delivery/following.py",
        "if not ours or not kept:",
        "if not ours:",
        "lockstep/delivery/tests/test_following.py::test_a_place_before_what_was_dropped_is_forgotten",
    ),
    SeededBug(
        "a name is resolved once and for all",
        "lockstep/delivery/destinations/webhook.py",
        "use_dns_cache=False",
        "use_dns_cache=True",
        f"{TEST_ADDRESSES}::test_a_name_that_turns_private_is_refused_at_the_next_connection",
    ),
    SeededBug(
        "an address that needs no resolving is not checked",
        "lockstep/delivery/destinations/webhook.py",
        'if numeric := numeric_addresses(url.host or ""):',
        "if numeric := []:",
        f"{TEST_ADDRESSES}::test_every_spelling_of_this_machine_is_refused",
    ),
    SeededBug(
        "one public address is enough",
        "lockstep/delivery/destinations/addresses.py",
        "not all(may_be_reached(address, opened) for address in found)",
        "not any(may_be_reached(address, opened) for address in found)",
        f"{TEST_ADDRESSES}::test_one_private_address_among_public_ones_is_one_too_many",
    ),
    SeededBug(
        "an address within an address is not looked at",
        "lockstep/delivery/destinations/addresses.py",
        "return [address, address.sixtofour]",
        "return [address]",
        f"{TEST_ADDRESSES}::test_nothing_else_may",
    ),
    SeededBug(
        "a webhook's owner may see everything",
        "lockstep/webhooks/deliver.py",
        "if endpoint is None or not endpoint.may_read(claim):",
        "if endpoint is None:",
        f"{TEST_SENDING}::test_only_what_its_patterns_name_and_its_owner_may_see_is_sent",
    ),
    SeededBug(
        "the old secret signs for ever",
        "lockstep/webhooks/sql/endpoints.sql",
        "CASE WHEN e.old_secret_until > now() THEN e.old_secret END",
        "e.old_secret",
        f"{TEST_SENDING}::test_both_secrets_sign_while_a_new_one_takes_over",
    ),
    SeededBug(
        "a new epoch passes over what was written since the restore",
        "lockstep/delivery/sql/epochs.sql",
        "(c.seq IN (SELECT seq FROM native) OR {pending})",
        "({pending})",
        "lockstep/delivery/tests/test_epochs.py::test_a_new_epoch_places_exactly_what_the_old_life_had_not",
        times=2,
    ),
    SeededBug(
        "an audit that is content with everything",
        "lockstep/delivery/sql/audit.sql",
        "of_row IS DISTINCT FROM of_log",
        "false",
        "lockstep/delivery/tests/test_audit.py::test_a_change_that_slipped_past_the_log_is_found",
    ),
    SeededBug(
        "a session that was revoked goes on",
        "lockstep/accounts/sql/sessions.sql",
        "s.revoked IS NULL AND s.expires > now()",
        "s.expires > now()",
        f"{TEST_BEARER}::test_a_revoked_session_is_401_at_once",
        times=2,
    ),
    SeededBug(
        "a refresh token opens the door",
        "lockstep/accounts/sql/sessions.sql",
        "AND t.kind = 'access' ",
        "",
        f"{TEST_BEARER}::test_a_refresh_token_opens_nothing",
    ),
    SeededBug(
        "a token for reading writes",
        "lockstep/accounts/authentication.py",
        "if needed not in session.scopes:",
        "if False:",
        f"{TEST_BEARER}::test_a_token_does_what_it_was_given_for",
    ),
    SeededBug(
        "a signed token is not looked at again once it was verified",
        "lockstep/accounts/signed.py",
        "return claims if claims.expires > datetime.now(UTC) else None",
        "return claims",
        f"{TEST_DOORS}::test_a_signed_token_that_was_seen_before_expires_all_the_same",
    ),
    SeededBug(
        "a refresh token that comes again ends nothing",
        "lockstep/accounts/sessions.py",
        "            Session.objects.filter(pk=session.pk).revoke()\n            return None\n",
        "            return None\n",
        f"{TEST_DOORS}::test_a_refresh_token_that_comes_again_ends_the_whole_family",
    ),
    SeededBug(
        "two tabs that refresh at once end each other",
        "lockstep/accounts/sessions.py",
        "FORGIVEN = timedelta(seconds=10)",
        "FORGIVEN = timedelta(seconds=0)",
        f"{TEST_DOORS}::test_two_tabs_that_refresh_at_once_both_go_on",
    ),
    SeededBug(
        "who has a token may guess the password with it",
        "lockstep/accounts/views.py",
        "return _me(request).username",
        'return ""',
        "lockstep/accounts/tests/test_people.py::test_who_has_a_token_cannot_guess_the_password_with_it",
    ),
    SeededBug(
        "a try counts once the password was looked at",
        "lockstep/accounts/throttling.py",
        "if number > limit.number",
        "if number > limit.number + 1",
        "lockstep/accounts/tests/test_throttling.py::test_guesses_sent_all_at_once_do_not_slip_through",
    ),
    SeededBug(
        "the same key is carried out twice at once",
        "lockstep/api/idempotency.py",
        "        if not _locked(digest):\n            raise InFlight(retry_after=1)\n",
        "",
        "lockstep/api/tests/test_idempotency.py::test_one_that_is_under_way_is_409_with_a_time_to_come_again",
    ),
    SeededBug(
        "the answer is kept in another transaction than its effect",
        "lockstep/api/idempotency.py",
        "    with transaction.atomic():\n        if not _locked(digest):",
        "    if True:\n        if not _locked(digest):",
        "tests/faults/test_killed_requests.py",
    ),
    SeededBug(
        "the same key answers whatever is asked",
        "lockstep/api/idempotency.py",
        'if not hmac.compare_digest(bytes(kept["fingerprint"]), fingerprint):',
        "if False:",
        "lockstep/api/tests/test_idempotency.py::test_the_same_key_for_another_request_is_422",
    ),
    SeededBug(
        "the version is compared before the row is locked",
        "lockstep/api/concurrency.py",
        'rows.select_for_update(no_key=True, of=("self",)).filter(**which)',
        "rows.filter(**which)",
        "lockstep/api/tests/test_concurrency.py::test_who_comes_while_another_is_changing_it_is_told",
    ),
    SeededBug(
        "an order takes what is not there",
        SHOP_ORDERS,
        "coalesce(bool_and(available >= quantity), false)",
        "true",
        f"{TEST_SHOP}/test_orders.py::test_a_decline_says_what_was_asked_and_what_is_there_and_takes_nothing",
    ),
    SeededBug(
        "nobody tells of an order",
        "lockstep/shop/actions.py",
        "        announce_commit()\n",
        "",
        "lockstep/shop/tests/test_orders.py::test_an_order_is_heard_of",
    ),
    SeededBug(
        "equal lines are checked one by one",
        SHOP_ORDERS,
        "sum(quantity)::bigint AS quantity",
        "min(quantity) AS quantity",
        f"{TEST_SHOP}/test_orders.py::test_equal_lines_are_summed_before_the_check",
    ),
    SeededBug(
        "an order is not held while its products are counted",
        SHOP_ORDERS,
        "    ORDER BY p.id\n    FOR NO KEY UPDATE\n), lines",
        "    ORDER BY p.id\n), lines",
        f"{TEST_SHOP}/test_orders.py::test_of_a_hundred_things_a_hundred_are_sold_to_a_thousand_buyers",
    ),
    SeededBug(
        "stock comes back of orders in any state",
        SHOP_ORDERS,
        "WHERE o.state = %(source)s",
        "WHERE true",
        f"{TEST_SHOP}/test_orders.py::test_cancelling_gives_the_stock_back_once",
    ),
    SeededBug(
        "an order is confirmed although its time is over",
        "lockstep/shop/actions.py",
        ", confirm_until__gt=Now())",
        ")",
        f"{TEST_SHOP}/test_payments.py::test_an_order_is_confirmed_once_and_in_time",
    ),
    SeededBug(
        "orders are anybody's",
        "lockstep/shop/reads.py",
        "Order.objects.alive().of(user)",
        "Order.objects.alive()",
        f"{TEST_SHOP}/test_orders.py::test_orders_are_their_buyers_own",
    ),
    SeededBug(
        "a stock that somebody sets is not explained",
        "lockstep/shop/migrations/0001_initial.py",
        "WHERE n.stock <> o.stock;",
        "WHERE false;",
        f"{TEST_SHOP}/test_ledger.py::test_whoever_sets_the_stock_writes_the_ledger",
    ),
    SeededBug(
        "a movement moves nothing",
        "lockstep/shop/migrations/0001_initial.py",
        "SET stock = p.stock + d.delta",
        "SET stock = p.stock",
        f"{TEST_SHOP}/test_ledger.py::test_whoever_writes_the_ledger_moves_the_stock",
    ),
    SeededBug(
        "an undecided charge counts as declined",
        "lockstep/shop/payments.py",
        'if charge.status == "pending":',
        "if False:",
        f"{TEST_SHOP}/test_payments.py::test_a_gateway_that_takes_its_time_is_waited_for",
    ),
    SeededBug(
        "every attempt to charge is another charge",
        "lockstep/shop/payments.py",
        "CURRENCY, key)",
        "CURRENCY, str(claim.message_id))",
        f"{TEST_SHOP}/test_payments.py::test_killed_anywhere_it_is_paid_once_or_not_at_all",
    ),
    SeededBug(
        "the gateway's charge is noted and its order is not",
        "lockstep/shop/payments.py",
        "if await cursor.fetchone():",
        "if not await cursor.fetchone():",
        f"{TEST_SHOP}/test_payments.py::test_every_mood_of_the_gateway_ends",
    ),
    SeededBug(
        "a payment is decided, and its order a moment later",
        "lockstep/shop/payments.py",
        "as connection, connection.transaction():",
        "as connection:",
        "tests/faults/test_payment_kills.py::test_killed_at_any_step_it_is_charged_once_or_not_at_all[is declined]",
    ),
    SeededBug(
        "what stands for the card is kept for ever",
        "lockstep/shop/sql/payments.sql",
        ", token = ''",
        "",
        f"{TEST_SHOP}/test_payments.py::test_every_mood_of_the_gateway_ends",
    ),
]
