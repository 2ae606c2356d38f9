"""Settings come from the query, else the cookie, else the browser's wish, else the defaults."""

from bursa.web.display import CHOICES, Display, read


def test_defaults_are_dark_and_safe() -> None:
    assert read(None, {}, None) == Display("dark", "safe", "en-US", "compact", "on")


def test_cookie_beats_the_browsers_wish_and_the_query_beats_both() -> None:
    cookie = "theme=dark&updown=idx&numbers=id-ID"
    assert read(None, {}, '"light"').theme == "light"
    found = read(cookie, {}, '"light"')
    assert (found.theme, found.updown, found.numbers) == ("dark", "idx", "id-ID")
    assert read(cookie, {"theme": "light"}, None).theme == "light"


def test_what_is_no_choice_is_passed_over() -> None:
    hostile = 'theme="><script>&updown=SAFE&density=&keys=maybe&__class__=x'
    assert read(hostile, {"theme": "blue", "symbol": "BBCA"}, "sepia") == Display()


def test_every_choice_can_be_made() -> None:
    for name, values in CHOICES.items():
        for value in values:
            assert read(f"{name}={value}", {}, None).attributes()[name] == value
