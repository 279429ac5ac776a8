"""The forms of the page: every type of the types reference is entered, sent, returned and shown again."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest
from attrs import frozen

from ..tools.processes import environment, running
from .chromium import Browser, Page
from .types_bot import TYPES

pytestmark = pytest.mark.timeout(120)

BOT = Path(__file__).with_name("types_bot.py")
Schema: TypeAlias = Mapping[str, Any]

SMALL = {"size": "small"}
LARGE = {"size": "large", "count": 20, "crust": "deep", "toppings": ["ham", "red onion"], "note": "well\ndone ü😀"}
#: Values of each type. The special ones are those that text fields tend to change.
VALUES: Mapping[str, Sequence[Any]] = {
    "str": ["a\nb ü😀", "", " 1 "],
    "bool": [True, False],
    "int": [-3, 0],
    "float": [0.125, 2, -1e-7],
    'Literal["a", "b"]': ["b"],
    "Literal[1, 2]": [2],
    'Literal["a", "b"] | str': ["a", "something else"],
    "str | None": [None, "", "none"],
    "int | str": [1, "1"],
    "list[int]": [[], [3, 1, 2]],
    "tuple[int, ...]": [[1]],
    "tuple[int, str]": [[7, "seven"]],
    "list": [[1, {"a": None}, "x"]],
    "Sequence[str]": [["", "b"]],
    "dict[str, int]": [{}, {"a": 1, "b c": 2}],
    "dict": [{"a": [1, None]}],
    "Mapping[str, Any]": [{"b": {}}],
    "None": [None],
    "Any": [None, "text", [1, {"a": "x"}]],
    "Crust": ["thin", "deep"],
    "Crust | None": [None, "deep"],
    "bool | None": [None, False],
    "float | None": [None, 0],
    "Item": [SMALL, LARGE],
    "Address": [{"street": "1, Main St"}, {"street": "x", "floor": 0}],
    "Order": [{"items": [SMALL, LARGE], "address": {"street": "x"}, "paid": True, "discounts": {"student": 0.5}}],
    "Item | Address": [SMALL, {"street": "x", "floor": 3}],
    "list[Item]": [[SMALL, LARGE]],
    "list[list[int]]": [[[], [1, 2]]],
    "dict[str, Item]": [{"first": SMALL}],
    "list[int] | None": [None, [], [1]],
    "list[str] | str": [["a"], "a"],
    "bounded": [1.37],
    "long": ["two\nlines"],
}
#: What a class adds to the values that were left out.
DEFAULTS: Mapping[str, Any] = {"count": 1, "crust": "thin", "toppings": [], "note": None}


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """Return the address of a server with the bot."""
    command = [sys.executable, "-m", "rtvi_plugins", "run", str(BOT), "--port", "0"]
    with running(command, r"(http://127\.0\.0\.1:\d+)", env=environment(PYTHONUNBUFFERED="1")) as process:
        yield process.matched


@pytest.fixture(scope="module")
def page(browser: Browser, server: str) -> Generator[Page]:
    """Open the page of the bot, at its actions. It is not connected before the first action is called."""
    page = browser.open(f"{server}/")
    page.element("#tab-actions", "click")
    page.element("#actions details >> nth=-1", "waitFor")
    assert page.element("#state", "getAttribute", "data-state") == "offline"
    yield page
    assert page.complaints() == []
    page.close()


@frozen
class Form:
    """The form of one action. A part is a field or a part of a compound value, given by its selector."""

    page: Page
    action: str

    @classmethod
    def of(cls, page: Page, name: str) -> Form:
        """Open the form of the action for a type."""
        form = cls(page, f"#action-bot-type_{list(TYPES).index(name)}")
        if page.element(form.action, "getAttribute", "open") is None:
            page.element(f"{form.action} > summary", "click")
        return form

    @property
    def top(self) -> str:
        return f"{self.action} >> .field >> nth=0"

    def call(self) -> Any:
        """Press Call, and return the answer."""
        self.page.element(f"{self.action} .answer", "evaluate", "(answer) => answer.replaceChildren()")
        self.page.element(f"{self.action} button[type=submit]", "click")
        self.page.element(f"{self.action} .answer-heading:has-text('Answer')", "waitFor")
        return self.page.element(f"{self.action} .answer pre", "textContent")

    def toggle_json(self) -> None:
        """Switch between the form and JSON."""
        self.page.element(f"{self.top} >> .label-row >> nth=0 >> text=JSON", "click")

    # ---- entering a value by its controls, as a user does

    def enter(self, part: str, schema: Schema, value: Any) -> None:
        """Enter a value into a part."""
        if "anyOf" in schema:
            self._enter_union(part, schema["anyOf"], value)
        elif "enum" in schema:
            self._choose(part, value)
        elif "type" not in schema:
            self._enter_json(part, value)
        else:
            getattr(self, f"_enter_{schema['type']}")(part, schema, value)

    def _choose(self, part: str, value: Any) -> None:
        self.page.element(f"{part} >> select >> nth=0", "selectOption", json.dumps(value))

    def _enter_union(self, part: str, members: Sequence[Schema], value: Any) -> None:
        others = [each for each in members if each.get("type") != "null"]
        if {"type": "boolean"} in others or all("enum" in each for each in others):
            self._choose(part, value)
        elif len(others) < len(members):
            self.page.element(f"{part} >> .none input >> nth=-1", "setChecked", value is None)
            if value is not None:
                self.enter(part, others[0], value)
        elif any("enum" in each for each in others):
            self.page.element(f"{part} >> input >> nth=0", "fill", value)
        else:
            index = next(index for index, each in enumerate(others) if _fits(each, value))
            self.page.element(f"{part} >> select >> nth=0", "selectOption", {"index": index})
            self.enter(f"{part} >> .union > div >> nth=0", others[index], value)

    def _enter_boolean(self, part: str, schema: Schema, value: bool) -> None:
        self.page.element(f"{part} >> input[role=switch] >> nth=-1", "setChecked", value)

    def _enter_number(self, part: str, schema: Schema, value: float) -> None:
        self.page.element(f"{part} >> input[type=number] >> nth=0", "fill", str(value))

    _enter_integer = _enter_number

    def _enter_string(self, part: str, schema: Schema, value: str) -> None:
        self.page.element(f"{part} >> textarea >> nth=0", "fill", value)

    def _enter_null(self, part: str, schema: Schema, value: None) -> None:
        assert self.page.element(f"{part} >> p.hint >> nth=0", "innerText") == "none"

    def _enter_json(self, part: str, value: Any) -> None:
        self.page.element(f"{part} >> textarea.code", "fill", json.dumps(value))

    def _enter_array(self, part: str, schema: Schema, value: Sequence[Any]) -> None:
        if "prefixItems" in schema:
            for number, (inner, each) in enumerate(zip(schema["prefixItems"], value, strict=True), 1):
                self.enter(f"{part} >> .compound >> nth=0 >> xpath=./div[{number}]", inner, each)
        elif "items" in schema:
            for number, each in enumerate(value, 1):
                self._add(part)
                self.enter(f"{self._row(part, number)} >> .field >> nth=0", schema["items"], each)
        else:
            self._enter_json(part, value)

    def _enter_object(self, part: str, schema: Schema, value: Mapping[str, Any]) -> None:
        if "properties" in schema:
            self._enter_fields(part, schema, value)
        elif schema.get("additionalProperties"):
            for number, (name, each) in enumerate(value.items(), 1):
                self._add(part)
                row = self._row(part, number)
                self.page.element(f"{row} >> input[placeholder=Name] >> nth=0", "fill", name)
                self.enter(f"{row} >> .field >> nth=0", schema["additionalProperties"], each)
        else:
            self._enter_json(part, value)

    def _enter_fields(self, part: str, schema: Schema, value: Mapping[str, Any]) -> None:
        for number, (name, inner) in enumerate(schema["properties"].items(), 1):
            at = f"{part} >> .compound >> nth=0 >> xpath=./div[{number}]"
            if name not in schema.get("required", []):
                self.page.element(
                    f"{at} >> .label-row >> nth=0 >> input[aria-label^=Include]", "setChecked", name in value
                )
            if name in value:
                self.enter(at, inner, value[name])

    def _add(self, part: str) -> None:
        self.page.element(f"{part} >> .compound >> nth=0 >> xpath=./button", "click")

    def _row(self, part: str, number: int) -> str:
        return f"{part} >> .rows >> nth=0 >> xpath=./div[{number}]"


def _fits(schema: Schema, value: Any) -> bool:
    types: Mapping[str, type[Any]] = {"integer": int, "string": str, "array": list, "object": dict}
    return isinstance(value, types[schema["type"]]) and all(name in value for name in schema.get("required", []))


def completed(value: Any) -> Any:
    """Return a value as the bot gets it, with the defaults of the fields that were left out."""
    if isinstance(value, list):
        return [completed(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    whole = {name: completed(each) for name, each in cast("dict[str, Any]", value).items()}
    return {**DEFAULTS, **whole} if "size" in whole else whole


def test_every_type_has_a_value() -> None:
    """A row that is added to the reference is tested too."""
    assert list(VALUES) == list(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_a_value_goes_through_the_form_and_comes_back(page: Page, server: str, name: str) -> None:
    """It is entered in the form and called. Then it is shown as JSON, shown in the form again, and called again."""
    form = Form.of(page, name)
    schema = described(page, server)[form.action]
    compound = page.element(f"{form.top} >> .label-row >> nth=0 >> text=JSON", "count") > 0
    for value in VALUES[name]:
        clear(form, schema)
        form.enter(form.top, schema, value)
        for way in ("form", "json", "form again")[: 3 if compound else 1]:
            if way != "form":
                form.toggle_json()
            if way == "json":
                assert json.loads(page.element(f"{form.top} >> textarea.code", "inputValue")) == value
            answer = form.call()
            got = answer if isinstance(value, str) else json.loads(answer)
            assert got == (value if isinstance(value, str) else completed(value)), way


def described(page: Page, server: str) -> Mapping[str, Schema]:
    """Return the schema of each action's argument, by the selector of its form."""
    script = "async () => (await (await fetch('describe', {method: 'POST'})).json())['actions-available'].actions"
    actions = page.element("html", "evaluate", f"({script})()")
    return {f"#action-bot-{each['action']}": each["arguments"][0]["schema"] for each in actions}


def clear(form: Form, schema: Schema) -> None:
    """Remove the rows of the earlier value."""
    while form.page.element(f"{form.top} >> .rows > .row", "count"):
        form.page.element(f"{form.top} >> .rows > .row > button >> nth=-1", "click")


def test_a_problem_that_the_bot_finds_stands_beside_the_innermost_field(page: Page) -> None:
    """Its field is marked. The problem disappears when the field is edited."""
    form = Form.of(page, "list[Item]")
    clear(form, {})
    form.enter(form.top, described(page, "")[form.action], [SMALL, {"size": "small", "toppings": ["ham", "H4M"]}])
    page.element(f"{form.action} button[type=submit]", "click")
    page.element(f"{form.action} .failed:has-text('See the errors')", "waitFor")
    wrong = f"{form.action} [aria-invalid=true]"
    assert page.element(wrong, "inputValue") == "H4M"
    assert page.element(f"{form.action} .field-error:visible", "count") == 1
    page.element(wrong, "fill", "ham")
    assert page.element(f"{form.action} .field-error:visible", "count") == 0
    assert json.loads(form.call())[1]["toppings"] == ["ham", "ham"]


def test_a_missing_value_is_found_before_anything_is_sent(page: Page) -> None:
    """The problem is shown at the field inside the object, which gets the focus."""
    form = Form.of(page, "Address")
    page.element(f"{form.action} [name=street]", "fill", "")
    page.element(f"{form.action} button[type=submit]", "click")
    page.element(f"{form.action} [name=street][aria-invalid=true]:focus", "waitFor")
    assert page.element(f"{form.action} .field-error:visible", "innerText") == "This is required."


def test_the_slider_and_the_number_beside_it_agree(page: Page) -> None:
    """Each follows changes of the other."""
    form = Form.of(page, "bounded")
    page.element(f"{form.action} input[type=range]", "fill", "0.5")
    assert page.element(f"{form.action} input[type=number]", "inputValue") == "0.5"
    page.element(f"{form.action} input[type=number]", "fill", "1.37")
    assert page.element(f"{form.action} input[type=range]", "inputValue") == "1.37"
