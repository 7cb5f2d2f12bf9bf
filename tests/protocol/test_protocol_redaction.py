"""Foreign text made safe to show: one line, short, nothing invisible, nothing secret."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.growth import growth

from frame_async.protocol.redaction import HIDDEN, LONGEST_TEXT, clean, clean_request_id

CARD = "4000056655665556"
KEY = "sk_sandbox_abcdefgh12345678"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("plain", "plain"),
        ("must be filled", "must be filled"),
        ("Überweisung für José: 日本 🎉", "Überweisung für José: 日本 🎉"),
        ("  a  ", "a"),
        ("a\nb", "a b"),
        ("a\r\n\r\nb", "a b"),
        ("a\t \x0b\x0cb", "a b"),
        ("a\u2028b\u2029c\x85d\xa0e", "a b c d e"),
        ("a\x00b", "a b"),
        ("a\x1b[31mb", "a [31mb"),
        ("a\x00 \x00 \u200bb", "a b"),
        ("\u200b\x00 a \x00\u200b", "a"),
        ("\u202eevil\u202c", "evil"),
        ("pay\u200bpal", "pay pal"),
        ("\ud800x\udfff", "x"),
        ("\n\n", ""),
        ("\u200b", ""),
        ("a\u3000b\u2003c", "a b c"),
    ],
    ids=ascii,
)
def test_text_becomes_one_line(text: str, line: str) -> None:
    """Runs of whitespace and of what nobody sees become one space, the rest stays."""
    assert clean(text) == line


UNSHOWN = [
    *range(0x20),
    *range(0x7F, 0xA1),
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x2028, 0x2030),
    *range(0x2060, 0x2070),
    0x3164,
    *range(0xD800, 0xE000),
    *range(0xFE00, 0xFE10),
    *(0xFEFF, 0xFFA0),
    *range(0xFFF0, 0xFFFC),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
]


def test_nothing_invisible_is_shown() -> None:
    """Each control, surrogate, separator, zero-width or direction character becomes a space."""
    assert [code for code in UNSHOWN if clean(f"a{chr(code)}b") != "a b"] == []


def test_everything_visible_is_shown() -> None:
    """Every other character is shown as it is, unless it is a kind of space."""
    unshown = set(UNSHOWN)
    others = (chr(code) for code in range(0x110000) if code not in unshown)
    kept = "".join(character for character in others if not character.isspace())
    assert clean(kept, longest=len(kept)) == kept


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"bad card {CARD}.", "bad card [hidden]."),
        (f"{CARD}{CARD}", "[hidden][hidden]"),
        (f"{CARD} {CARD}", "[hidden] [hidden]"),
        (f"x{CARD}x", "x[hidden]x"),
        ("4000 0566 5566 5556 is wrong", "[hidden] is wrong"),
        ("4000\u200b0566\x005566\n5556", "[hidden]"),
        ("\u200b".join(CARD), "[hidden]"),
        ("\u2003".join(CARD), "[hidden]"),
        ("a " + " ".join(CARD) + " b", "a [hidden] b"),
        (f"[hidden] {CARD}", "[hidden] [hidden]"),
        (CARD[:-1], CARD[:-1]),
    ],
    ids=ascii,
)
def test_known_secrets_are_hidden(text: str, line: str) -> None:
    """A known secret is hidden wherever it stands, spaces and invisible characters or not."""
    assert clean(text, [CARD]) == line


@pytest.mark.parametrize(
    ("text", "secrets", "line"),
    [
        ("abcdefg", ["abcde", "cdefg"], "[hidden]"),
        ("abcdefg", ["cdefg", "abcde"], "[hidden]"),
        ("abcdefg", ["abcdefg", "cde"], "[hidden]"),
        ("abcdefg", ["cde", "abcdefg"], "[hidden]"),
        ("abcdefg", ["ab", "fg"], "[hidden]cde[hidden]"),
        ("abcdefg", ["abc", "def"], "[hidden][hidden]g"),
        ("aXaXa!", ["aXa"], "[hidden]!"),
        ("aaaa b aaa", ["aa"], "[hidden] b [hidden]"),
        ("1 Main Street", ["1 Main Street"], "[hidden]"),
        ("1\nMain\tStreet", ["1 Main Street"], "[hidden]"),
        ("1MainStreet", ["1 Main\u200b Street"], "[hidden]"),
        ("abc", ["", " ", "\n", "\u200b"], "abc"),
        ("abc", ["x", "abd"], "abc"),
        ("a.c abc", ["a.c"], "[hidden] abc"),
        ("den hid idd", ["hidden", "hid", "den", "idd"], "[hidden] [hidden] [hidden]"),
        ("[hidden] x", ["hidden", "x"], "[hidden] [hidden]"),
    ],
)
def test_secrets_may_overlap(text: str, secrets: list[str], line: str) -> None:
    """Secrets that overlap, contain or repeat each other are hidden whole, in any order."""
    assert clean(text, secrets) == line


def test_secrets_may_come_from_any_iterable() -> None:
    """The secrets may be given as an iterator as well."""
    assert clean("abc", iter(["b"])) == "a[hidden]c"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"key {KEY} is unknown", "key [hidden] is unknown"),
        ("sk_production_Ab-c_9", "[hidden]"),
        ("pk_sandbox_abcdefgh", "[hidden]"),
        ("rk_abcd", "[hidden]"),
        ("sk_abcd", "[hidden]"),
        ("whsec_abcd", "[hidden]"),
        ("sk_abc", "sk_abc"),
        ("whsec_abc", "whsec_abc"),
        ("whsec_ abcd", "whsec_ abcd"),
        (f'{{"key":"{KEY}"}}', '{"key":"[hidden]"}'),
        (f"api_key={KEY}&x=1", "api_key=[hidden]&x=1"),
        (f"FRAME_{KEY}", "FRAME_[hidden]"),
        (f"é{KEY}", "é[hidden]"),
        (f"{KEY} {KEY}", "[hidden] [hidden]"),
        (f"{KEY},{KEY}", "[hidden],[hidden]"),
        ("xwhsec_abcdefgh", "x[hidden]"),
        ("sk_sand\u200bbox_abcd\x00efgh", "[hidden]"),
        ("\u200b".join(KEY), "[hidden]"),
        ("\x00".join("whsec_abcdefgh"), "[hidden]"),
        ("sk_sandbox_ abcd", "[hidden] abcd"),
        ("task_identifier", "task_identifier"),
        ("disk_space risk_level work_phone", "disk_space risk_level work_phone"),
        ("SK_SANDBOX", "SK_SANDBOX"),
        ("ask_ sk", "ask_ sk"),
    ],
    ids=ascii,
)
def test_what_looks_like_a_key_is_hidden(text: str, line: str) -> None:
    """API keys and webhook secrets are hidden unasked, ordinary words are not."""
    assert clean(text) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Authorization: Bearer abc.def/ghi+j==", "Authorization: Bearer [hidden]"),
        ("bearer abc, basic def", "bearer [hidden] basic [hidden]"),
        ("BEARER abc", "BEARER [hidden]"),
        ("Basic dXNlcjpwYXNz and more", "Basic [hidden] and more"),
        ("Bearer    abc", "Bearer [hidden]"),
        ("Bearer\nabc", "Bearer [hidden]"),
        ("Bearer\u200babc", "Bearer [hidden]"),
        ("Bearer \u200b abc\u200bdef", "Bearer [hidden]"),
        ("B\u200bearer abc", "B earer [hidden]"),
        ("b\x00a\x00s\x00i\x00c abc", "b a s i c [hidden]"),
        (f"Bearer {KEY}", "Bearer [hidden]"),
        ("basic Bearer abc", "basic [hidden]"),
        ("Bearer bearer BASIC abc def", "Bearer [hidden] def"),
        ("auth_bearer abc", "auth_bearer [hidden]"),
        ("Bearer [hidden]", "Bearer [hidden]"),
        ("Bearer hidden... and more", "Bearer [hidden] and more"),
        ("Bearer secret...", "Bearer [hidden]"),
        ("Bearer", "Bearer"),
        ("a bearer ", "a bearer"),
        ("forbearer abc", "forbearer abc"),
        ("bearers abc", "bearers abc"),
        ("basically abc", "basically abc"),
    ],
    ids=ascii,
)
def test_credentials_are_hidden(text: str, line: str) -> None:
    """The word after Bearer or Basic is hidden, in any case and however they are joined."""
    assert clean(text) == line


@pytest.mark.parametrize(
    ("length", "longest", "line"),
    [
        (300, 300, "x" * 300),
        (301, 300, "x" * 297 + "..."),
        (10**6, 300, "x" * 297 + "..."),
        (10, 10, "x" * 10),
        (11, 10, "x" * 7 + "..."),
        (4, 3, "..."),
    ],
)
def test_surplus_is_cut(length: int, longest: int, line: str) -> None:
    """A text over the limit is cut so that it and three dots are exactly as long as that."""
    assert clean("x" * length, longest=longest) == line


def test_three_hundred_characters_are_shown_by_default() -> None:
    """Unless told otherwise, 300 characters are shown."""
    assert LONGEST_TEXT == 300
    assert clean("x" * 301) == "x" * 297 + "..."


@pytest.mark.parametrize("before", range(270, 305))
@pytest.mark.parametrize("secret", [CARD, KEY, "Bearer abcdef"])
def test_a_secret_across_the_cut_is_hidden_first(secret: str, before: int) -> None:
    """A secret that the cut would split doesn't leave its first half behind."""
    line = clean("." * before + " " + secret + " tail", [CARD])
    assert len(line) <= 300
    assert not any(part in line for part in (CARD[:3], KEY[:3], "abc"))


def test_the_marker_is_one_word() -> None:
    """What stands for a secret is the same everywhere."""
    assert HIDDEN == "[hidden]"


SECRETS = st.text(alphabet="0123456789XYZ \u00e9\u200b", min_size=3, max_size=12)
NOISE = st.text(alphabet="0123456789XYZ \n\u200b\x00\ud800\u00e9a:_-", max_size=30)


@st.composite
def texts_with_secrets(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text that has secrets in it, whole, joined, or split by what nobody sees."""
    secrets = draw(st.lists(SECRETS, min_size=1, max_size=4))
    pieces = st.one_of(NOISE, st.sampled_from(secrets), st.sampled_from(secrets).map("\u200b".join))
    return "".join(draw(st.lists(pieces, max_size=8))), secrets


def visible(text: str) -> str:
    """A text without anything that could split a secret."""
    return "".join(c for c in text if c.isalnum() or c in ":_-[].")


@given(texts_with_secrets(), st.integers(3, 400))
def test_no_known_secret_survives(made: tuple[str, list[str]], longest: int) -> None:
    """Whatever the text, none of the secrets is in the line, not even with its gaps closed."""
    text, secrets = made
    line = visible(clean(text, secrets, longest))
    assert not [secret for secret in secrets if visible(secret) and visible(secret) in line]


PREFIXES = st.sampled_from(["sk_sandbox_", "sk_production_", "pk_", "rk_", "whsec_"])
BODIES = st.text(alphabet="QWZ9", min_size=4, max_size=20)
GLUE = st.sampled_from(["", " ", ":", '"', "\n", "\u200b", "=", "[", "Bearer ", "é"])


@given(st.lists(st.tuples(GLUE, PREFIXES, BODIES), min_size=1, max_size=4), st.integers(3, 60))
def test_no_key_survives(keys: list[tuple[str, str, str]], longest: int) -> None:
    """Whatever stands between them and wherever the cut is, no key leaves four letters."""
    line = clean("".join(glue + prefix + body for glue, prefix, body in keys), (), longest)
    assert not set(line) & set("QWZ9")


ROUGH = st.lists(
    st.sampled_from(
        [
            "Bearer ",
            "basic ",
            "bearer\u200b",
            KEY,
            "sk_",
            "whsec_",
            "[hidden]",
            "[hid",
            "...",
            "abcd",
        ]
    )
    | st.text(max_size=4),
    max_size=10,
).map("".join)


@given(
    st.text() | ROUGH,
    st.lists(st.sampled_from([CARD, "XYZ", "7 7"]), max_size=2),
    st.integers(3, 60),
)
def test_any_text_becomes_safe_and_stays_as_it_is(
    text: str, secrets: list[str], longest: int
) -> None:
    """For any text the result is short, one line, all visible, and cleaning it changes nothing."""
    line = clean(text, secrets, longest)
    assert len(line) <= longest
    assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [c for c in line if ord(c) in UNSHOWN and c != " "]
    assert line.splitlines() in ([], [line])
    assert clean(line, secrets, longest) == line


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6,
        "\u200b" * 10**6,
        "a\u200b" * 500_000,
        " \x00" * 500_000,
        "bearer" + " " * 10**6,
        "bearer " * 150_000,
        "bearer h" * 125_000,
        "sk_" * 333_333,
        "s\u200bk\u200b_\u200b" * 150_000,
        "whsec" * 200_000,
        "42" * 500_000,
        "[hidden]" * 125_000,
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_a_megabyte_takes_no_more_than_a_moment(text: str) -> None:
    """A text as large as the largest answer is cleaned in linear time, whatever is in it."""
    part = len(text) // 16

    def clean_parts(count: int) -> None:
        assert len(clean(text[: part * count], ["4242424242424242", "sk_4242"])) <= 300

    assert growth(clean_parts) < 100


@pytest.mark.parametrize(
    "value", ["r", "req_123", "Root=1-67891233-abcdef;Self=x", "!", "~", "x" * 128]
)
def test_request_ids_of_visible_ascii_are_kept(value: str) -> None:
    """A request id of 1 to 128 visible ASCII characters is kept as it is."""
    assert clean_request_id(value) == value


@pytest.mark.parametrize(
    "value",
    [None, "", " ", "a b", "a\n", "\na", "a\x00", "a\x7f", "a\u00e9", "\u202ea", "x" * 129],
    ids=lambda value: ascii(value)[:12],
)
def test_other_request_ids_are_none(value: str | None) -> None:
    """Anything else that a server calls a request id is dropped."""
    assert clean_request_id(value) is None


@pytest.mark.parametrize(
    ("value", "secret", "kept"),
    [
        ("req_1", KEY, True),
        ("req_1", "", True),
        ("XXXX", "", True),
        (KEY, KEY, False),
        (f"id-{KEY}-1", KEY, False),
        ("req-hunter2-1", "hunter2", False),
        ("not visible", KEY, False),
    ],
)
def test_request_ids_that_hold_the_secret_are_none(value: str, secret: str, kept: bool) -> None:
    """A request id is dropped if the given secret is in it, and only then."""
    assert clean_request_id(value, secret) == (value if kept else None)


def test_request_ids_are_kept_where_no_secret_is_named() -> None:
    """Without a secret to look for, any visible ASCII is a request id."""
    assert clean_request_id("XXXX") == "XXXX"


@pytest.mark.parametrize("gap", [1, 200, 1_000, 1_500, 5_000, 100_000])
@pytest.mark.parametrize("before", [0, 5, 250, 290, 297, 400])
@pytest.mark.parametrize("between", [" ", "\u200b", "\t"])
def test_a_cut_never_splits_a_secret(gap: int, before: int, between: str) -> None:
    """However far apart its characters are, no half of a known secret is shown."""
    secret = "v3ry-Secret-Value-of-40-characters-or-so"
    for at in (1, 5, 20, 39):
        text = "w " * (before // 2) + secret[:at] + between * gap + secret[at:] + " and on" * 9_000
        shown = clean(text, [secret])
        assert len(shown) <= 300
        for piece in (secret[:at], secret[at:]):
            assert len(piece) < 4 or piece not in shown, (at, shown)
