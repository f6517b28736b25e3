"""What calls cost, and that a day's money is never overdrawn."""

from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.intelligence.budget import Budget
from metapulse_assets.intelligence.prices import PRICES, cost_of, price_of, worst_cost
from metapulse_assets.platform.settings import load_settings
from metapulse_assets.vendors.model_replies import Question, Reply


def test_a_model_is_found_under_the_names_it_goes_by() -> None:
    flash = PRICES["gemini-2.5-flash"]
    for name in ("gemini-2.5-flash", "models/gemini-2.5-flash", "stand-in/gemini-2.5-flash", "gemini-2.5-flash-001"):
        assert price_of(name) is flash, name
    assert price_of("gemini-2.5-flash-lite-001") is PRICES["gemini-2.5-flash-lite"]
    assert price_of("gemini-2.5-flash-image") is None
    assert price_of("llama3.2") is None


def test_the_models_of_the_settings_have_a_price() -> None:
    settings = load_settings()
    assert price_of(settings.groq_model)
    assert price_of(settings.gemini_model)


def test_a_bill() -> None:
    reply = Reply("ok", "gemini-2.5-flash", tokens_in=1_000_000, tokens_out=100_000, tokens_cached=400_000)
    cost, known = cost_of(reply, "gemini-2.5-flash")
    assert (round(cost, 9), known) == (round(0.6 * 0.30 + 0.4 * 0.03 + 0.1 * 2.50, 9), True)
    assert cost_of(Reply("failed", "gemini-2.5-flash"), "gemini-2.5-flash") == (0.0, True)
    assert cost_of(Reply("ok", "llama3.2", tokens_in=5, tokens_out=5), "llama3.2") == (0.0, False)


@given(st.text(max_size=500), st.integers(0, 2_000), st.integers(0, 2_000))
def test_no_answer_costs_more_than_the_worst_case(prompt: str, read: int, written: int) -> None:
    question = Question("s", prompt, "n", {}, 2_000)
    most = (len(prompt) + 3) // 2
    reply = Reply("ok", "m", tokens_in=min(read, most), tokens_out=written)
    assert cost_of(reply, "gemini-2.5-pro")[0] <= worst_cost(question, "gemini-2.5-pro") + 1e-12


@given(
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 1), st.booleans()), max_size=40),
)
def test_whatever_is_under_way_the_day_is_not_overdrawn(limit: float, calls: list[tuple[float, float, bool]]) -> None:
    budget = Budget(limit, 0.0)
    under_way: list[tuple[float, float]] = []
    for worst, share, settle_one in calls:
        if budget.take(worst):
            under_way.append((worst, worst * share))
        if settle_one and under_way:
            budget.settle(*under_way.pop(0))
    for pair in under_way:
        budget.settle(*pair)
    assert budget.spent <= limit + 1e-9


def test_no_money_is_no_call_not_even_of_unknown_price() -> None:
    assert not Budget(0.0, 0.0).take(0.0)
    assert not Budget(1.0, 1.0).take(0.0)
    assert Budget(1.0, 0.5).take(0.0)
    assert "0.5000 of 1 USD" in Budget(1.0, 0.5).refusal


def test_a_text_without_a_count_of_tokens_is_charged_at_its_worst() -> None:
    question = Question("s", "prompt", "n", {}, 2_000)
    uncounted = Reply("ok", "gemini-2.5-flash", text="{}")
    assert cost_of(uncounted, "gemini-2.5-flash", question) == (worst_cost(question, "gemini-2.5-flash"), True)
    assert worst_cost(question, "gemini-2.5-flash") > 0
    assert cost_of(uncounted, "llama3.2", question) == (0.0, False)
    assert cost_of(Reply("failed", "gemini-2.5-flash"), "gemini-2.5-flash", question) == (0.0, True)
