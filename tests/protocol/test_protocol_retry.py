"""When to try again: the table of reactions, the waits, the budget, and the whole plan."""

from typing import Any, cast, get_args

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from frame_async.calls import Outcome
from frame_async.errors import ConfigurationError, ValidationError
from frame_async.protocol.clock import Clock
from frame_async.protocol.outcomes import Ending, Evidence, Phase, judge
from frame_async.protocol.retry import (
    STOP,
    OnUnknown,
    Reaction,
    RetryBudget,
    RetryPlan,
    RetryPolicy,
    Step,
    check_retry,
)

FINAL, SOON = Reaction.FINAL, Reaction.SOON
THROTTLED, BACKOFF = Reaction.THROTTLED, Reaction.BACKOFF
AGAIN = (SOON, THROTTLED, BACKOFF)

NEVER_MIND = 1e6  # a deadline that none of the waits here comes near


def half() -> float:
    """Chance, always in the middle."""
    return 0.5


def least() -> float:
    """Chance, always at its lower end."""
    return 0.0


def plan(policy: RetryPolicy | None = None, **changes: Any) -> RetryPlan:
    """A plan that began at 100 s, with an ample deadline and chance always in the middle."""
    parts: dict[str, Any] = {
        "policy": RetryPolicy() if policy is None else policy,
        "budget": RetryBudget(),
        "random": half,
        "started": 100.0,
        "deadline": 100.0 + NEVER_MIND,
    }
    return RetryPlan(**(parts | changes))


# --- reactions


@pytest.mark.parametrize(
    ("evidence", "reaction", "careful"),
    [
        pytest.param(Evidence(Phase.DONE, status=200), FINAL, FINAL, id="200"),
        pytest.param(Evidence(Phase.DONE, status=201), FINAL, FINAL, id="201"),
        pytest.param(Evidence(Phase.ANSWER, Ending.DISCONNECTED, 201), FINAL, FINAL, id="201 cut"),
        pytest.param(Evidence(Phase.ANSWER, Ending.TIMED_OUT, 299), FINAL, FINAL, id="299 late"),
        pytest.param(Evidence(Phase.DONE, status=301), FINAL, FINAL, id="301"),
        pytest.param(Evidence(Phase.DONE, status=304), FINAL, FINAL, id="304"),
        pytest.param(Evidence(Phase.DONE, status=307), FINAL, FINAL, id="307"),
        pytest.param(Evidence(Phase.DONE, status=400), FINAL, FINAL, id="400"),
        pytest.param(Evidence(Phase.DONE, status=401), FINAL, FINAL, id="401"),
        pytest.param(Evidence(Phase.DONE, status=403), FINAL, FINAL, id="403"),
        pytest.param(Evidence(Phase.DONE, status=404), FINAL, FINAL, id="404"),
        pytest.param(Evidence(Phase.DONE, status=409), FINAL, FINAL, id="409"),
        pytest.param(Evidence(Phase.DONE, status=422), FINAL, FINAL, id="422"),
        pytest.param(Evidence(Phase.DONE, status=425), FINAL, FINAL, id="425"),
        pytest.param(Evidence(Phase.DONE, status=428), FINAL, FINAL, id="428"),
        pytest.param(Evidence(Phase.DONE, status=429), THROTTLED, THROTTLED, id="429"),
        pytest.param(
            Evidence(Phase.ANSWER, Ending.DISCONNECTED, 429), THROTTLED, THROTTLED, id="429 cut"
        ),
        pytest.param(Evidence(Phase.DONE, status=408), BACKOFF, FINAL, id="408"),
        pytest.param(Evidence(Phase.DONE, status=418), BACKOFF, FINAL, id="418"),
        pytest.param(Evidence(Phase.DONE, status=500), BACKOFF, FINAL, id="500"),
        pytest.param(Evidence(Phase.DONE, status=502), BACKOFF, FINAL, id="502"),
        pytest.param(Evidence(Phase.DONE, status=503), BACKOFF, FINAL, id="503"),
        pytest.param(Evidence(Phase.DONE, status=999), BACKOFF, FINAL, id="999"),
        pytest.param(Evidence(Phase.SEND, Ending.TIMED_OUT), BACKOFF, FINAL, id="no answer"),
        pytest.param(Evidence(Phase.SEND, Ending.DISCONNECTED), BACKOFF, FINAL, id="broken"),
        pytest.param(Evidence(Phase.SEND, Ending.GARBLED), FINAL, FINAL, id="not HTTP"),
        pytest.param(Evidence(Phase.SEND, Ending.FAILED), FINAL, FINAL, id="unforeseen"),
        pytest.param(Evidence(Phase.GATE, Ending.TIMED_OUT), SOON, SOON, id="queued"),
        pytest.param(Evidence(Phase.CONNECT, Ending.NO_CONNECTION), SOON, SOON, id="refused"),
        pytest.param(Evidence(Phase.CONNECT, Ending.TIMED_OUT), SOON, SOON, id="SYN dropped"),
        pytest.param(Evidence(Phase.SEND, Ending.NEVER_WRITTEN), SOON, SOON, id="never written"),
        pytest.param(
            Evidence(Phase.CONNECT, Ending.BAD_CERTIFICATE), FINAL, FINAL, id="bad certificate"
        ),
        pytest.param(Evidence(Phase.GATE, Ending.SESSION_CLOSED), FINAL, FINAL, id="closed"),
        pytest.param(Evidence(Phase.SEND, Ending.SESSION_CLOSED), FINAL, FINAL, id="closed late"),
        pytest.param(
            Evidence(Phase.ANSWER, Ending.SESSION_CLOSED, 429), FINAL, FINAL, id="429 closed"
        ),
    ],
)
def test_the_table_of_reactions(evidence: Evidence, reaction: Reaction, careful: Reaction) -> None:
    """Each observation calls for its reaction, and for the other with on_unknown="raise"."""
    outcome = judge(evidence)
    assert RetryPolicy().react(outcome, evidence) is reaction
    assert RetryPolicy(on_unknown="raise").react(outcome, evidence) is careful


@pytest.mark.parametrize(
    ("reaction", "word"),
    [(FINAL, "final"), (SOON, "soon"), (THROTTLED, "throttled"), (BACKOFF, "backoff")],
)
def test_reactions_read_as_the_table_names_them(reaction: Reaction, word: str) -> None:
    """A reaction shows itself as the word of the table, in lower case."""
    assert str(reaction) == word


OWN_ENDS = [
    ending
    for ending in Ending
    if ending.name in ("HELD_BACK", "NO_PLACE", "STORE_FAILED", "TAKEN_OVER")
]


@pytest.mark.parametrize("ending", OWN_ENDS, ids=lambda ending: ending.name)
def test_what_this_side_ended_is_not_repeated(ending: Ending) -> None:
    """Where the pause, the window or the store ended an attempt, it isn't tried again."""
    evidence = Evidence(Phase.GATE, ending)
    assert RetryPolicy().react(judge(evidence), evidence) is FINAL


EVIDENCE = st.builds(
    Evidence,
    st.sampled_from(Phase),
    st.sampled_from(Ending),
    st.none() | st.sampled_from([429]) | st.integers(100, 999),
)


@given(EVIDENCE, st.sampled_from(["retry", "raise"]))
def test_no_evidence_leads_to_a_second_session_by_mistake(
    evidence: Evidence, on_unknown: OnUnknown
) -> None:
    """After a 2xx nothing is repeated, and with "raise" nothing that may have been created."""
    outcome = judge(evidence)
    reaction = RetryPolicy(on_unknown=on_unknown).react(outcome, evidence)
    if outcome is Outcome.CREATED or (outcome is Outcome.UNKNOWN and on_unknown == "raise"):
        assert reaction is FINAL
    if outcome is Outcome.REFUSED and evidence.ending is Ending.COMPLETE:
        assert (reaction is THROTTLED) == (evidence.status == 429)


# --- waits


@pytest.mark.parametrize("reaction", [THROTTLED, BACKOFF])
@pytest.mark.parametrize("nth", range(8))
def test_frames_schedule(reaction: Reaction, nth: int) -> None:
    """The wait after a 429 or an unknown outcome is 2 to the n seconds and up to half of one."""
    policy = RetryPolicy()
    assert policy.delay(reaction, nth, lambda: 0.0) == 2**nth
    assert policy.delay(reaction, nth, lambda: 0.5) == 2**nth + 0.25
    assert policy.delay(reaction, nth, lambda: 0.75) == 2**nth + 0.375


@pytest.mark.parametrize("nth", range(8))
def test_full_jitter_after_an_attempt_that_was_not_sent(nth: int) -> None:
    """The wait after an attempt that was not sent is any time up to 0.2 s, doubled each time."""
    policy = RetryPolicy()
    assert policy.delay(SOON, nth, lambda: 0.0) == 0.0
    assert policy.delay(SOON, nth, lambda: 0.5) == pytest.approx(0.1 * 2**nth)
    assert policy.delay(SOON, nth, lambda: 1.0) == pytest.approx(0.2 * 2**nth)


def test_waits_follow_the_policy() -> None:
    """Every time in a policy is the one that is waited."""
    policy = RetryPolicy(backoff=3.0, jitter=8.0, not_sent_backoff=5.0)
    assert policy.delay(BACKOFF, 1, half) == 3.0 * 2 + 4.0
    assert policy.delay(SOON, 1, half) == 5.0 * 2 * 0.5


@pytest.mark.parametrize("nth", [30, 31, 1_023, 1_024, 10**9])
def test_doubling_ends_before_floats_do(nth: int) -> None:
    """From the 30th doubling on, waits stay as they are instead of overflowing."""
    assert RetryPolicy().delay(BACKOFF, nth, least) == 2.0**30
    assert RetryPolicy(not_sent_backoff=1.0).delay(SOON, nth, half) == 2.0**29
    assert RetryPolicy().delay(BACKOFF, 29, least) == 2.0**29


SECONDS = st.floats(0, 1e9, exclude_max=True)
CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.sampled_from(AGAIN), st.integers(0, 10**6), CHANCE, SECONDS, SECONDS, SECONDS)
def test_waits_stay_in_their_bounds(
    reaction: Reaction, nth: int, chance: float, backoff: float, jitter: float, soon: float
) -> None:
    """For every n and every chance the wait is within what the policy's times allow."""
    policy = RetryPolicy(backoff=backoff, jitter=jitter, not_sent_backoff=soon)
    wait = policy.delay(reaction, nth, lambda: chance)
    doubled = 2.0 ** min(nth, 30)
    low, spread = (0.0, soon * doubled) if reaction is SOON else (backoff * doubled, jitter)
    assert low <= wait <= low + spread


# --- policy


def test_the_defaults_are_frames_recommendation() -> None:
    """Six retries or 30 s, 1 s + U(0, 0.5) doubling, 0.2 s where nothing was sent."""
    assert RetryPolicy() == RetryPolicy(
        max_retries=6,
        max_elapsed=30.0,
        backoff=1.0,
        jitter=0.5,
        not_sent_backoff=0.2,
        on_unknown="retry",
    )


TIMES = ("max_elapsed", "backoff", "jitter", "not_sent_backoff")


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0, 0.0, 1, 2.5, 999_999_999, 999_999_999.9])
def test_times_are_numbers_from_zero(name: str, value: float) -> None:
    """A time may be any number from 0 to below 1e9, whole or not."""
    assert getattr(RetryPolicy(**cast("Any", {name: value})), name) == value


@pytest.mark.parametrize("value", [0, 1, 6, 999_999_999])
def test_retries_are_integers_from_zero(value: int) -> None:
    """The number of retries may be any integer from 0 to below 1e9."""
    assert RetryPolicy(max_retries=value).max_retries == value


WRONG = [-1, -0.001, 1e9, 10**9, 10**400, float("nan"), float("inf"), -float("inf")]
WRONG_TYPES = ["1", b"1", None, True, False, [1], 1j, object()]


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", WRONG + WRONG_TYPES, ids=lambda value: repr(value)[:12])
def test_other_times_are_refused_by_name(name: str, value: Any) -> None:
    """A time out of bounds, or that is no number, is refused with its name."""
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(**cast("Any", {name: value}))
    assert str(caught.value) == f"RetryPolicy.{name} must be a number of seconds, 0 or more"


@pytest.mark.parametrize("value", [*WRONG, *WRONG_TYPES, 1.0, 0.5], ids=lambda v: repr(v)[:12])
def test_other_numbers_of_retries_are_refused_by_name(value: Any) -> None:
    """A number of retries out of bounds, or that is no integer, is refused with its name."""
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(max_retries=value)
    assert str(caught.value) == "RetryPolicy.max_retries must be an integer, 0 or more"


def test_the_type_has_the_words_that_are_accepted() -> None:
    """A type checker accepts the same two words for on_unknown as the policy does."""
    words = get_args(OnUnknown)
    assert words == ("retry", "raise")
    assert [RetryPolicy(on_unknown=word).on_unknown for word in words] == list(words)


@pytest.mark.parametrize("value", ["", "RETRY", "retry ", "ignore", None, True, b"retry", 1])
def test_other_ways_with_the_unknown_are_refused(value: Any) -> None:
    """What to do after an unknown outcome is "retry" or "raise", and nothing else."""
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(on_unknown=value)
    assert str(caught.value) == 'RetryPolicy.on_unknown must be "retry" or "raise"'


def test_a_policy_can_not_change() -> None:
    """A policy may be shared, so nothing can be assigned to it, and all is given by name."""
    with pytest.raises(FrozenInstanceError):
        cast("Any", RetryPolicy()).max_retries = 7
    with pytest.raises(TypeError):
        cast("Any", RetryPolicy)(7)


def test_a_policy_is_taken_as_it_is() -> None:
    """A policy that is passed to a call is the one that counts."""
    policy = RetryPolicy(max_retries=1)
    assert check_retry(policy) is policy


@pytest.mark.parametrize("retry", [None, 3, True, "retry", {"max_retries": 3}, RetryPolicy])
def test_anything_else_is_no_policy(retry: object) -> None:
    """What is no policy is refused before anything is sent, with the remedy."""
    with pytest.raises(ValidationError) as caught:
        check_retry(retry)
    (problem,) = caught.value.problems
    assert (problem.path, problem.rule) == ("retry", "must be a RetryPolicy")
    assert problem.fix == "pass RetryPolicy(max_retries=...)"


# --- budget


def test_a_budget_pays_for_35_retries_in_a_row() -> None:
    """Of 500 tokens at 14 each, 35 retries can be paid, then none; ten are left."""
    budget = RetryBudget()
    assert [budget.take(BACKOFF) for _ in range(37)] == [True] * 35 + [False] * 2
    assert budget.tokens == 10


def test_a_budget_begins_full() -> None:
    """A budget has all its tokens at first, and can't be made with other than all."""
    assert RetryBudget(capacity=7).tokens == 7
    with pytest.raises(TypeError):
        cast("Any", RetryBudget)(tokens=3)


@pytest.mark.parametrize(("reaction", "price"), [(SOON, 14), (BACKOFF, 14), (THROTTLED, 5)])
def test_the_price_of_a_retry(reaction: Reaction, price: int) -> None:
    """A retry costs 14 tokens, 5 after a 429."""
    budget = RetryBudget()
    assert budget.take(reaction)
    assert budget.tokens == 500 - price


@pytest.mark.parametrize(("reaction", "price"), [(SOON, 14), (BACKOFF, 14), (THROTTLED, 5)])
def test_the_last_token_can_be_spent(reaction: Reaction, price: int) -> None:
    """A retry that takes all that is left is paid; with one token less it isn't."""
    budget = RetryBudget(capacity=price)
    assert budget.take(reaction)
    assert budget.tokens == 0
    budget = RetryBudget(capacity=price - 1)
    assert not budget.take(reaction)
    assert budget.tokens == price - 1


def test_a_clean_success_gives_one_token_back() -> None:
    """A call that succeeded at once gives back one token, never beyond the capacity."""
    budget = RetryBudget()
    budget.take(THROTTLED)
    for _ in range(4):
        budget.give_back()
    assert budget.tokens == 499
    budget.give_back()
    budget.give_back()
    assert budget.tokens == 500


@given(st.integers(0, 600), st.lists(st.sampled_from([*AGAIN, None]), max_size=200))
def test_a_budget_is_never_overdrawn_nor_overfull(
    capacity: int, events: list[Reaction | None]
) -> None:
    """Whatever is taken and given back, the tokens stay between none and the capacity."""
    budget = RetryBudget(capacity=capacity)
    for event in events:
        before = budget.tokens
        if event is None:
            budget.give_back()
            assert budget.tokens == min(capacity, before + 1)
        else:
            price = 5 if event is THROTTLED else 14
            assert budget.take(event) == (before >= price)
            assert budget.tokens == (before - price if before >= price else before)
        assert 0 <= budget.tokens <= capacity


# --- plan


def test_a_final_reaction_stops_without_a_word() -> None:
    """After a final outcome there is no retry, no excuse, and nothing to pay."""
    made = plan()
    assert made.after(FINAL, 5.0, 100.0) == STOP == Step(None, "")
    assert made.budget.tokens == 500


def test_frames_schedule_from_first_to_last() -> None:
    """Retries wait 1, 2, 4, ... s and a quarter, until the next would start after 30 s."""
    made = plan()
    now, waits = 100.0, []
    while (step := made.after(BACKOFF, None, now)).delay is not None:
        waits.append(step.delay)
        now += step.delay
    assert waits == [1.25, 2.25, 4.25, 8.25]
    assert step.why == (
        "gave up because 16.2 s to wait don't fit in the 14.0 s left (retry policy's max_elapsed)"
    )


def test_six_retries_are_the_end() -> None:
    """Where time allows for more, the seventh retry is refused, and the reason says so."""
    made = plan(RetryPolicy(max_elapsed=1e6))
    waits = [made.after(THROTTLED, None, 100.0).delay for _ in range(6)]
    assert waits == [1.25, 2.25, 4.25, 8.25, 16.25, 32.25]
    assert made.after(THROTTLED, None, 100.0) == Step(None, "gave up after 6 retries")


def test_no_retries_are_none() -> None:
    """With max_retries=0 there is no retry at all, not even of what was not sent."""
    step = plan(RetryPolicy(max_retries=0)).after(SOON, None, 100.0)
    assert step == Step(None, "gave up after 0 retries")


def test_throttling_and_doubt_share_one_schedule() -> None:
    """A 429 after an unknown outcome waits on, as both say that the server has trouble."""
    made = plan()
    waits = [made.after(reaction, None, 100.0).delay for reaction in (BACKOFF, THROTTLED, BACKOFF)]
    assert waits == [1.25, 2.25, 4.25]


def test_what_was_not_sent_has_a_schedule_of_its_own() -> None:
    """Retries of what was not sent double by themselves and leave the other waits alone."""
    made = plan()
    waits = [made.after(r, None, 100.0).delay for r in (SOON, SOON, BACKOFF, SOON, BACKOFF)]
    assert waits == pytest.approx([0.1, 0.2, 1.25, 0.4, 2.25])


def test_all_kinds_count_as_retries() -> None:
    """The limit is for retries of every kind together."""
    made = plan(RetryPolicy(max_retries=3))
    assert all(made.after(r, None, 100.0).delay is not None for r in AGAIN)
    assert made.after(SOON, None, 100.0) == Step(None, "gave up after 3 retries")


@pytest.mark.parametrize("reaction", AGAIN)
@pytest.mark.parametrize(("asked", "waited"), [(20.0, 20.0), (1.5, 1.5)])
def test_the_server_may_lengthen_a_wait(reaction: Reaction, asked: float, waited: float) -> None:
    """A longer Retry-After is obeyed, whatever the reaction."""
    assert plan().after(reaction, asked, 100.0) == Step(waited)


@pytest.mark.parametrize("asked", [None, 0.0, 0.05, 0.5, 1.2])
def test_the_server_can_not_shorten_a_wait(asked: float | None) -> None:
    """A shorter Retry-After, or none, leaves the wait as it is."""
    assert plan().after(THROTTLED, asked, 100.0) == Step(1.25)


def test_a_lengthened_wait_is_one_step_of_the_schedule() -> None:
    """After a wait that the server lengthened the schedule goes on where it was."""
    made = plan()
    assert made.after(THROTTLED, 9.0, 100.0) == Step(9.0)
    assert made.after(THROTTLED, None, 109.0) == Step(2.25)


def test_a_wait_past_the_deadline_is_not_begun() -> None:
    """When the wait can't fit before the deadline, the call gives up at once and says why."""
    made = plan(deadline=110.0)
    assert made.after(THROTTLED, 20.0, 105.0) == Step(
        None, "gave up because 20.0 s to wait don't fit in the 5.0 s left (deadline of the call)"
    )
    assert made.budget.tokens == 500


def test_a_wait_to_the_very_deadline_is_not_begun() -> None:
    """A wait that ends at the deadline leaves no time for an attempt, so it isn't begun."""
    assert plan(deadline=110.0).after(THROTTLED, 5.0, 105.0).delay is None
    assert plan(deadline=110.0).after(THROTTLED, 4.9, 105.0) == Step(4.9)


def test_an_attempt_may_start_at_max_elapsed() -> None:
    """The last attempt may start 30 s after the call began, and not later."""
    assert plan().after(THROTTLED, 25.0, 105.0) == Step(25.0)
    assert plan().after(THROTTLED, 25.1, 105.0) == Step(
        None,
        "gave up because 25.1 s to wait don't fit in the 25.0 s left (retry policy's max_elapsed)",
    )


def test_the_deadline_is_named_before_max_elapsed() -> None:
    """Where neither limit allows the wait, the caller's own deadline is what is named."""
    assert "deadline of the call" in plan(deadline=120.0).after(THROTTLED, 50.0, 105.0).why


@pytest.mark.parametrize("deadline", [130.0, 100.0 + NEVER_MIND])
def test_a_limit_that_has_passed_leaves_nothing(deadline: float) -> None:
    """After the limit, 0.0 s are left, never less."""
    assert "the 0.0 s left" in plan(deadline=deadline).after(SOON, None, 200.0).why


def test_a_refused_wait_counts_for_nothing() -> None:
    """A wait that couldn't fit is no retry: the schedule stays where it was."""
    made = plan()
    assert made.after(THROTTLED, 100.0, 100.0).delay is None
    assert made.after(THROTTLED, None, 100.0) == Step(1.25)


@pytest.mark.parametrize("reaction", AGAIN)
def test_an_empty_budget_stops_a_call(reaction: Reaction) -> None:
    """Without tokens there is no retry, and the reason says that it isn't this call alone."""
    made = plan(budget=RetryBudget(capacity=4))
    step = made.after(reaction, None, 100.0)
    assert step == Step(None, "gave up because too many calls of this client are failing")
    made.budget.tokens = 500
    assert made.after(BACKOFF, None, 100.0) == Step(1.25)


def test_calls_share_the_budget() -> None:
    """What one call spends, another lacks."""
    budget = RetryBudget(capacity=20)
    assert plan(budget=budget).after(BACKOFF, None, 100.0).delay is not None
    assert plan(budget=budget).after(BACKOFF, None, 100.0).delay is None
    assert plan(budget=budget).after(THROTTLED, None, 100.0).delay is not None
    assert budget.tokens == 1


class FakeClock:
    """Time that passes by being slept through."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return 1.8e9 + self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from(AGAIN),
        st.none() | st.floats(0, 40),
        st.floats(0, 5),
    ),
    max_size=20,
)


@given(ATTEMPTS, CHANCE, st.integers(0, 8), st.floats(0, 60), st.floats(0, 60), st.integers(0, 600))
async def test_no_plan_ever_exceeds_its_limits(
    attempts: list[tuple[Reaction, float | None, float]],
    chance: float,
    max_retries: int,
    max_elapsed: float,
    timeout: float,
    capacity: int,
) -> None:
    """However attempts end, each retry starts within every limit and is paid for."""
    clock: Clock = FakeClock(50.0)
    budget = RetryBudget(capacity=capacity)
    policy = RetryPolicy(max_retries=max_retries, max_elapsed=max_elapsed)
    made = RetryPlan(policy, budget, lambda: chance, 50.0, 50.0 + timeout)
    retries, spent = 0, 0
    for reaction, asked, duration in attempts:
        await clock.sleep(duration)
        step = made.after(reaction, asked, clock.monotonic())
        if step.delay is None:
            assert step.why
            break
        retries, spent = retries + 1, spent + (5 if reaction is THROTTLED else 14)
        assert step.why == ""
        assert step.delay >= (asked or 0.0)
        await clock.sleep(step.delay)
        assert clock.monotonic() < 50.0 + timeout
        assert clock.monotonic() <= 50.0 + max_elapsed
    assert retries <= max_retries
    assert budget.tokens == capacity - spent >= 0
