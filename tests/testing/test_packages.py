"""Whole packages: the API, the command and pytest find each broken one by the rule that is meant for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from rtvi_plugins.__main__ import main
from rtvi_plugins.errors import AuthorError
from rtvi_plugins.testing import RULES, ProviderCheck, check_package, load_checks, rule_tests

from .package_mutants import GOOD_PACKAGE, PACKAGE_MUTANTS, Package

pytestmark = pytest.mark.slow

NAME = "rtvi-plugins-mutant"


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, which is the current folder."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for each in [each for each in sys.modules if each.startswith("rtvi_plugins_mutant")]:
        del sys.modules[each]


def test_a_good_package_is_gold(site: Path) -> None:
    """No problem is found. Rules for other kinds and for vendors do not count."""
    GOOD_PACKAGE.install(site)
    [report] = check_package(NAME).reports
    assert [each for each in report.results if each.state not in ("kept", "not applicable")] == []
    assert report.level == "gold"
    not_applicable = {each.rule for each in report.results if each.state == "not applicable"}
    others = {each.id for each in RULES.values() if each.of == "vendor" or (each.kinds and "llm" not in each.kinds)}
    assert not_applicable == others | {"P203", "P215"}


@pytest.mark.parametrize("name", PACKAGE_MUTANTS)
def test_a_broken_package_is_found_by_its_rule(name: str, site: Path) -> None:
    """The report has exactly this rule."""
    rule, found, package = PACKAGE_MUTANTS[name]
    package.install(site)
    [report] = check_package(NAME).reports
    broken = {each.rule: each.what for each in report.results if each.state == "broken"}
    assert list(broken) == [rule]
    assert found in broken[rule]
    assert not report.reaches(RULES[rule].level)


def test_every_rule_of_a_package_has_a_mutant() -> None:
    """P211 is missing, because it needs two event loops."""
    assert {rule for rule, _, _ in PACKAGE_MUTANTS.values()} == {
        each.id for each in RULES.values() if each.of == "package" and not each.on_request
    } | {"P211"}


def test_an_exception_is_explained_and_shown(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The provider keeps its level. The report has the reason."""
    PACKAGE_MUTANTS["one that works on asyncio alone"][2].install(site)
    (site / "tests").mkdir()
    (site / "tests" / "conformance.py").write_text(
        "from rtvi_plugins.testing import ProviderCheck\n"
        'PROVIDERS = {"llm.mutant": ProviderCheck(waive={"P211": "The SDK of Mutant needs asyncio."})}\n'
    )
    assert main(["check", NAME, "--level", "gold"]) == 0
    shown = capsys.readouterr().out
    assert "waived" in shown
    assert "reason: The SDK of Mutant needs asyncio." in shown


def test_the_command_prints_what_is_wrong_and_how_to_mend_it(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code depends on the level. The JSON has the same content."""
    PACKAGE_MUTANTS["one that is not typed"][2].install(site)
    assert main(["check", NAME]) == 0
    shown = capsys.readouterr().out
    assert "llm.mutant: silver" in shown
    assert " rules kept\n" in shown
    assert "P101" not in shown
    for line in (RULES["P301"].what, RULES["P301"].why, RULES["P301"].fix, "rtvi_plugins_mutant has no py.typed"):
        assert line in shown
    assert main(["check", NAME, "--level", "gold", "--json"]) == 1
    [provider] = json.loads(capsys.readouterr().out)["providers"]
    rules = {each["id"]: each for each in provider["rules"]}
    assert list(rules) == list(RULES)
    assert (provider["provider"], provider["level"]) == ("llm.mutant", "silver")
    assert (rules["P301"]["result"], rules["P301"]["fix"]) == ("broken", RULES["P301"].fix)


def test_the_rules_that_are_kept_are_listed_with_verbose(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it they are only counted. Rules that are not checked are counted if several have one reason."""
    PACKAGE_MUTANTS["one that is not typed"][2].install(site)
    main(["check", NAME])
    brief = capsys.readouterr().out
    main(["check", NAME, "-v"])
    whole = capsys.readouterr().out
    states = [line.split()[2] for line in whole.splitlines() if line.startswith("  P")]
    assert f"  {states.count('kept')} rules kept\n" in brief
    listed = [line for line in whole.splitlines() if line.startswith("  P") and line.split()[2] != "kept"]
    assert [line.split()[:3] for line in listed] == [
        line.split()[:3] for line in brief.splitlines() if line.startswith("  P")
    ]
    assert RULES["P101"].what in whole


def test_the_rules_that_one_broken_rule_stops_are_counted(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A long list of them would hide the rule to mend. With verbose, they are listed."""
    PACKAGE_MUTANTS["one whose import fails"][2].install(site)
    assert main(["check", NAME]) == 1
    brief = capsys.readouterr().out
    assert "rules not checked: the check ended early, because of P109" in brief
    assert [line.split()[0] for line in brief.splitlines() if line.startswith("  P1")] == ["P109"]
    main(["check", NAME, "-v"])
    assert "P104" in capsys.readouterr().out


def test_the_command_says_what_it_does_not_find(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be a package, a provider, or a file."""
    GOOD_PACKAGE.install(site)
    for words, said in {
        ("rtvi-plugins-mutants",): "Did you mean 'rtvi-plugins-mutant'?",
        (NAME, "--provider", "tts.mutant"): "no provider 'tts.mutant'. It has llm.mutant.",
        (NAME, "--checks", "no.py"): "There is no file 'no.py'",
    }.items():
        assert main(["check", *words]) == 2
        assert said in capsys.readouterr().err


LISTING = """
from rtvi_plugins.bridges import BridgedProvider
from rtvi_plugins_mutant import llm


def providers():
    yield from [BridgedProvider("llm.mutant", lambda: [llm.mutant, llm.configure], slow=True)][:COUNT]
"""


def bridge(count: int) -> Package:
    """Return a package whose bridge lists this many providers."""
    points = GOOD_PACKAGE.entry_points.replace("[rtvi_plugins]", "[rtvi_plugins.bridges]", 1)
    points = points.replace("llm.mutant = rtvi_plugins_mutant.llm", "any = rtvi_plugins_mutant.listing:providers")
    files = {"py.typed": "", "listing.py": LISTING.replace("COUNT", str(count))}
    return evolve(GOOD_PACKAGE, entry_points=points, files=files, metadata=GOOD_PACKAGE.metadata.replace("`tone`", ""))


def test_a_bridged_provider_is_checked_by_its_own_name(site: Path) -> None:
    """Its options belong to what is bridged, so the readme need not name them. A slow import is allowed."""
    bridge(1).install(site)
    [report] = check_package("mutant").reports
    assert (report.provider, report.level) == ("llm.mutant", "gold")
    states = {each.rule: each.state for each in report.results}
    assert states["P302"] == states["P214"] == "not applicable"
    assert check_package(NAME).reports[0].provider == "llm.mutant"


def test_a_bridge_without_providers_says_so(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not say that it is not installed."""
    bridge(0).install(site)
    assert main(["check", NAME]) == 2
    assert "is a bridge, and it finds nothing to bridge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("waive", "said"),
    [
        ({"P203": "It is old.", "P204": "It is old."}, "may waive one rule only"),
        ({"P207": "It is quick."}, "P207 cannot be waived"),
        ({"P210": "Nobody looks."}, "P210 cannot be waived"),
        ({"P999": "It is old."}, "there is no rule 'P999'"),
        ({"P203": " "}, "say why P203 is not kept"),
    ],
)
def test_an_exception_that_cannot_be_is_refused(waive: dict[str, str], said: str) -> None:
    """A provider may waive one rule, with a reason, but not the rules of keys and cancellation."""
    with pytest.raises(AuthorError, match=said):
        ProviderCheck(waive=waive)


def test_a_file_of_checks_must_say_how_providers_are_checked(site: Path) -> None:
    """The error says what to write."""
    (site / "checks.py").write_text("PROVIDER = {}\n")
    with pytest.raises(AuthorError, match="write PROVIDERS = "):
        load_checks(site / "checks.py")
    GOOD_PACKAGE.install(site)
    with pytest.raises(AuthorError, match=r"PROVIDERS has 'llm\.acme'"):
        check_package(NAME, {"llm.acme": ProviderCheck()})


def test_rules_are_tests_of_an_author(site: Path) -> None:
    """Each rule is a case with an id. A failure says what is wrong."""
    PACKAGE_MUTANTS["one that is not typed"][2].install(site)
    test = rule_tests(NAME)
    [mark] = vars(test)["pytestmark"]
    ids = [each.id for each in mark.args[1]]
    assert ids[:2] == ["llm.mutant-P101", "llm.mutant-P102"]
    assert "llm.mutant-P205" not in ids  # the order of speech
    test("llm.mutant", "P101")
    with pytest.raises(AssertionError, match=r"P301 llm\.mutant: The package is typed\.\n  found: "):
        test("llm.mutant", "P301")
