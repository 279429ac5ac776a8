"""The page: what the server sends, whether it is complete and closed to foreign code, and its scripts' own tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias
from zipfile import ZipFile

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

import rtvi_plugins_server
from rtvi_plugins.hookspecs import hookimpl
from rtvi_plugins.hosting import Host

FOLDER = Path(__file__).parent.parent
FILES = Path(rtvi_plugins_server.__file__).with_name("page")
SCRIPTS = sorted(FILES.glob("*.js"))
#: What other tests and people's scripts hold on to.
HOOKS = {
    *("talk", "mute", "text", "send", "state", "user-level", "bot-level", "transcript", "log", "log-filter"),
    *("plot", "options", "actions", "error", "transport"),
}

Serving: TypeAlias = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


class Markup(HTMLParser):
    """The elements of a page with their names and attributes, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.inline = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.lasttag in ("script", "style"):
            self.inline += data.strip()

    def values(self, attribute: str) -> set[str]:
        """Return the values of an attribute in all elements."""
        return {attributes[attribute] for _, attributes in self.elements if attribute in attributes}


@pytest.fixture
def index() -> Markup:
    """Return the page's markup."""
    return Markup((FILES / "index.html").read_text("utf-8"))


def content(path: Path) -> bytes:
    """Return the content of a file."""
    return path.read_bytes()


def loaded(script: str) -> Iterator[str]:
    """Return the files in the same folder that a script loads."""
    yield from re.findall(r"""^import .* from "\./(\S+)";$""", script, re.MULTILINE)
    yield from re.findall(r"""new URL\("\./([^"]+)", import\.meta\.url\)""", script)


def reachable(name: str, found: set[str]) -> set[str]:
    """Return the files that a script loads, directly or indirectly."""
    if name not in found:
        found.add(name)
        for each in loaded((FILES / name).read_text("utf-8")):
            reachable(each, found)
    return found


# ---- what is sent ----------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_browser_finds_the_page_at_the_root(host: Host, serving: Serving) -> None:
    """It is HTML, and browsers check for a new version each time."""
    async with serving(host) as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.content == content(FILES / "index.html")


@pytest.mark.anyio
async def test_every_file_has_its_type(host: Host, serving: Serving) -> None:
    """A browser with `nosniff` runs only what is declared as a script, so this machine's own types must not matter."""
    expected = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    async with serving(host) as client:
        for path in FILES.iterdir():
            answer = await client.get(f"/page/{path.name}")
            assert answer.content == content(path)
            assert answer.headers["content-type"].partition(";")[0] == expected[path.suffix], path.name
            assert answer.headers["x-content-type-options"] == "nosniff", path.name


@pytest.mark.anyio
async def test_nothing_but_the_pages_own_files_may_run(host: Host, serving: Serving) -> None:
    """The policy refuses inline scripts and styles, other origins, and markup that is made from text."""
    async with serving(host) as client:
        headers = (await client.get("/")).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert "microphone=(self)" in headers["permissions-policy"]


@pytest.mark.anyio
async def test_a_file_that_the_browser_has_is_not_sent_again(host: Host, serving: Serving) -> None:
    """A request with its tag gets the status 304, without a body."""
    async with serving(host) as client:
        tag = (await client.get("/page/main.js")).headers["etag"]
        again = await client.get("/page/main.js", headers={"if-none-match": tag})
        other = await client.get("/page/main.js", headers={"if-none-match": '"older"'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert other.status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page.json"])
async def test_head_is_answered(host: Host, serving: Serving, path: str) -> None:
    """The headers are the same as those for GET."""
    async with serving(host) as client:
        asked, got = await client.head(path), await client.get(path)
    assert (asked.status_code, asked.headers["content-type"]) == (200, got.headers["content-type"])


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/page/", "/page/none.js", "/page/..%2fapp.py", "/page/%2e%2e/app.py", "/page"])
async def test_no_other_file_is_sent(host: Host, serving: Serving, path: str) -> None:
    """Other paths are not found."""
    async with serving(host) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]) == (404, "not-found")


@pytest.mark.anyio
async def test_a_foreign_name_gets_no_page(make_host: Callable[..., Host], serving: Serving) -> None:
    """A domain that was pointed to this machine cannot show the page as its own."""
    async with serving(make_host(dev=True), "http://evil.example") as client:
        assert [(await client.get(path)).status_code for path in ("/", "/page/main.js", "/page.json")] == [421] * 3


@pytest.mark.anyio
async def test_a_server_may_be_without_the_page(host: Host, serving: Serving) -> None:
    """With `page=False`, no part of it is served."""
    async with serving(host, page=False) as client:
        assert [(await client.get(path)).status_code for path in ("/", "/page/main.js", "/page.json")] == [404] * 3


# ---- what the page is told ---------------------------------------------------------------------------------------


async def facts(host: Host, serving: Serving) -> dict[str, Any]:
    """Return what the page reads about a bot."""
    async with serving(host) as client:
        answer = await client.get("/page.json")
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.anyio
async def test_the_page_is_told_of_the_bot(host: Host, serving: Serving) -> None:
    """It reads the name, the docstring, and the ways to connect."""
    assert await facts(host, serving) == {
        "name": "desk",
        "description": "Adds numbers for anyone.",
        "open": True,
        "microphone": False,
        "transports": ["websocket"],
        "services": [],
    }


@pytest.mark.anyio
async def test_options_of_the_bot_itself_are_no_service_to_speak_with(
    make_host: Callable[..., Host], serving: Serving
) -> None:
    """The page asks for no microphone because of them."""
    body = await facts(make_host("tuned"), serving)
    assert (body["microphone"], body["services"]) == (False, [])


@pytest.mark.anyio
async def test_of_a_bot_that_is_not_public_no_more_than_its_name_is_told(
    make_host: Callable[..., Host], serving: Serving
) -> None:
    """The page can say why it cannot start it."""
    body = await facts(make_host("office"), serving)
    assert body == {"name": "office", "description": "", "open": False, "transports": [], "services": []}


@pytest.mark.anyio
async def test_in_development_every_bot_is_open(make_host: Callable[..., Host], serving: Serving) -> None:
    """`rtvi run --dev` is the way to try a bot that is not public."""
    assert (await facts(make_host("office", dev=True), serving))["open"] is True


def _route(request: Request) -> Response:
    return PlainTextResponse("a plugin's")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (Route("/webrtc/start", _route, methods=["POST"]), ["websocket", "webrtc"]),
        (Mount("/webrtc", routes=[Route("/start", _route, methods=["POST"])]), ["websocket", "webrtc"]),
        (Route("/webrtc/start", _route, methods=["GET"]), ["websocket"]),
        (Route("/webrtc", _route, methods=["POST"]), ["websocket"]),
    ],
    ids=["a route", "a mount", "another method", "another path"],
)
async def test_webrtc_is_offered_where_a_plugin_brings_it(
    make_host: Callable[..., Host], serving: Serving, route: BaseRoute, expected: list[str]
) -> None:
    """It is known by the path that starts it."""
    assert (await facts(make_host(modules=[_plugin(route)]), serving))["transports"] == expected


@pytest.mark.anyio
async def test_a_plugin_may_have_a_page_of_its_own(make_host: Callable[..., Host], serving: Serving) -> None:
    """A plugin's routes come before the page."""
    async with serving(make_host(modules=[_plugin(Route("/", _route))])) as client:
        assert (await client.get("/")).text == "a plugin's"


def _plugin(route: BaseRoute) -> ModuleType:
    @hookimpl
    def server_routes() -> list[BaseRoute]:
        return [route]

    module = ModuleType("plugin_of_a_test")
    module.__dict__["server_routes"] = server_routes
    return module


# ---- the files -------------------------------------------------------------------------------------------------


def test_the_page_has_what_others_hold_on_to(index: Markup) -> None:
    """It has the ids that tests and scripts rely on."""
    assert HOOKS - index.values("id") == set()


def test_no_id_stands_twice(index: Markup) -> None:
    """Labels, descriptions and scripts refer to exactly one element."""
    ids = [attributes["id"] for _, attributes in index.elements if "id" in attributes]
    assert sorted(ids) == sorted(set(ids))


def test_what_is_referred_to_in_the_page_is_there(index: Markup) -> None:
    """Labels belong to controls, tabs to panels, and descriptions to what they describe."""
    named = " ".join(value for name in ("for", "aria-controls", "aria-labelledby") for value in index.values(name))
    assert set(named.split()) - index.values("id") == set()


def test_every_control_of_the_page_has_a_label(index: Markup) -> None:
    """A screen reader says what to write in each."""
    controls = {attributes["id"] for tag, attributes in index.elements if tag in ("input", "select", "textarea")}
    assert controls - index.values("for") == set()


def test_nothing_is_inline(index: Markup) -> None:
    """There is no script, style or event handler in the markup, because the policy forbids it."""
    attributes = {name for _, each in index.elements for name in each}
    assert index.inline == ""
    assert {name for name in attributes if name == "style" or name.startswith("on")} == set()


def test_every_file_is_loaded_and_every_loaded_file_is_there(index: Markup) -> None:
    """No file is missing, and none is superfluous."""
    roots = {each.removeprefix("page/") for each in index.values("src") | index.values("href") if each[0] != "#"}
    found: set[str] = {"index.html"}
    for name in roots:
        reachable(name, found)
    assert found == {path.name for path in FILES.iterdir()}


def found_in(paths: Iterable[Path], pattern: str) -> list[str]:
    """Return every match of a pattern in these files, after the name of the file."""
    texts = {path.name: path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "") for path in paths}
    return [f"{name}: {each[0]}" for name, text in texts.items() for each in re.finditer(pattern, text)]


def test_no_file_refers_to_another_server() -> None:
    """The page works offline on this machine. Its references are relative, so it also works behind a prefix."""
    assert found_in(FILES.iterdir(), r"""\bhttps?://\S+|["'(]//\S+|(?:src|href)="/\S*|url\(""") == []


def test_no_script_makes_markup_of_text() -> None:
    """Everything from a bot or a plugin is shown as text, whatever it contains."""
    makes = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|\bFunction\(|srcdoc"
    assert found_in(SCRIPTS, makes) == []


def test_every_script_is_small_and_states_its_purpose() -> None:
    """The first line is a sentence, and the number of lines is limited."""
    scripts = {path.name: path.read_text("utf-8").splitlines() for path in SCRIPTS}
    assert [name for name, lines in scripts.items() if not lines[0].startswith("// ") or len(lines) >= 300] == []


def test_the_page_is_in_the_wheel(tmp_path: Path) -> None:
    """Every file of it is there, unchanged."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
    source = FOLDER / "src" / "rtvi_plugins_server" / "page"
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        held = {name.rpartition("/")[2]: wheel.read(name) for name in wheel.namelist() if "/page/" in name}
    assert held == {path.name: path.read_bytes() for path in source.iterdir()}


# ---- the scripts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((FOLDER / "tests" / "page").glob("*.test.mjs")), ids=lambda path: path.name)
def test_what_a_script_works_out_is_right(path: Path) -> None:
    """Node tests the scripts that do not need a browser."""
    node = shutil.which("node")
    assert node is not None, "Node 20.19 or later must be installed for the tests of the page."
    done = subprocess.run([node, "--test", str(path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE)
