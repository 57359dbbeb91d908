"""The lab as a process: it starts, serves, and is gone when its parent is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab.cilium_stub import parsed
from app.lab.launch import LabFailed, RunningLab, serve, start_lab

RECORDINGS = Path(__file__).parent / "recordings"
ERRORS = RECORDINGS / "cli-errors"
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def replay() -> Iterator[RunningLab]:
    with start_lab(replay=RECORDINGS / "healthy") as lab:
        yield lab
        assert lab.complaints() == ""


def run(
    lab: RunningLab, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the lab's `cilium` with the lab's kubeconfig in the environment."""
    known = {"PATH": os.environ["PATH"], "KUBECONFIG": str(lab.kubeconfig), **(env or {})}
    return subprocess.run([lab.cilium, *arguments], env=known, capture_output=True, check=False)


def gone(pid: int) -> bool:
    """Whether a process that is not our child has ended, waiting for that up to five minutes."""
    for _ in range(15_000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return True
        time.sleep(0.02)
    return False


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_replay_says_where_it_is_and_when(replay: RunningLab) -> None:
    assert replay.context == "lab-healthy"
    assert replay.at is not None
    assert replay.at.isoformat() == "2026-11-23T04:48:42.698477+00:00"
    assert replay.url.startswith("https://127.0.0.1:")


def test_what_lets_one_in_is_readable_by_the_user_alone(replay: RunningLab) -> None:
    assert mode(replay.kubeconfig.parent) == 0o700
    assert mode(replay.kubeconfig) == 0o600
    assert mode(replay.cilium) == 0o700
    config = json.loads(replay.kubeconfig.read_text())
    assert config["current-context"] == "lab-healthy"
    assert [entry["context"] for entry in config["contexts"]] == [
        {"cluster": "lab-healthy", "user": "lab-healthy"}
    ]


def test_stopping_leaves_nothing_and_may_be_repeated() -> None:
    lab = start_lab(replay=RECORDINGS / "healthy")
    state = lab.kubeconfig.parent
    lab.stop()
    lab.stop()
    assert not state.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(lab.pid, 0)


def test_serving_prints_the_kubeconfig_and_waits_until_the_lab_has_cleaned_up() -> None:
    with start_lab(replay=RECORDINGS / "healthy") as lab:
        os.kill(lab.pid, signal.SIGTERM)
        out = StringIO()
        assert serve(lab, out) == 0
        assert out.getvalue() == f"{lab.kubeconfig}\n"
        assert not lab.kubeconfig.parent.exists()


def test_a_lab_that_hangs_is_killed() -> None:
    lab = start_lab(replay=RECORDINGS / "healthy")
    os.kill(lab.pid, signal.SIGSTOP)
    lab.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(lab.pid, 0)


PARENT = """
import sys, time
from pathlib import Path
from app.lab.launch import start_lab
lab = start_lab(replay=Path(sys.argv[1]))
print(lab.pid, lab.kubeconfig, lab.cilium, flush=True)
time.sleep(60)
"""


def test_a_lab_does_not_outlive_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(RECORDINGS / "healthy")],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    assert parent.stdout is not None
    pid, kubeconfig, _ = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(int(pid))
    assert not Path(kubeconfig).parent.exists()


def test_an_installed_copy_serves_from_itself_whatever_folder_one_is_in(tmp_path: Path) -> None:
    installed = tmp_path / "site" / "ciliscope"
    shutil.copytree(REPOSITORY / "app", installed / "app")
    trap = tmp_path / "cwd" / "app"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('the wrong app')")
    script = PARENT.replace(
        "import sys, time", f"import sys, time; sys.path[0] = {str(installed)!r}"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(RECORDINGS / "healthy")],
        stdout=subprocess.PIPE,
        cwd=trap.parent,
        text=True,
    )
    assert parent.stdout is not None
    try:
        pid, _, cilium = parent.stdout.readline().split()
        assert str(installed / "app" / "lab" / "cilium_stub.py") in Path(cilium).read_text()
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert gone(int(pid))


def test_the_parent_imports_nothing_heavy() -> None:
    code = "import sys, app.lab.launch; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    heavy = {"aiohttp", "asyncio", "trustme", "yaml", "msgspec", "kubernetes", "textual"}
    assert heavy.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    ("replay_name", "words"),
    [
        ("nowhere", r"^There is no recording at .*nowhere: no such directory\.$"),
        ("cli-errors", r"^.*recording\.yaml cannot be read: No such file or directory\.$"),
    ],
)
def test_a_recording_that_cannot_be_served_is_one_sentence(replay_name: str, words: str) -> None:
    with pytest.raises(LabFailed, match=words) as caught:
        start_lab(replay=RECORDINGS / replay_name)
    assert "\n" not in str(caught.value)


def test_a_scenario_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(LabFailed, match="nonesuch") as caught:
        start_lab("nonesuch")
    assert "\n" not in str(caught.value)


def test_a_scenario_and_a_recording_at_once_are_refused() -> None:
    with pytest.raises(LabFailed, match="not both"):
        start_lab("home", replay=RECORDINGS / "healthy")


def test_a_lab_that_is_late_is_given_up_and_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(LabFailed, match=r"The lab was not ready after 0\.01 s\."):
        start_lab(replay=RECORDINGS / "healthy", deadline=0.01)
    assert list(tmp_path.iterdir()) == []


def test_the_default_scenario_lives() -> None:
    with start_lab() as lab:
        assert (lab.context, lab.at) == ("lab-home", None)
        assert run(lab, "bgp", "peers", "-o", "json").returncode == 0
        assert lab.complaints() == ""


def check_recorded_commands(lab: RunningLab, recording: str) -> None:
    """Run every recorded command through the lab's program."""
    folder = RECORDINGS / recording / "cli"
    for known in json.loads((folder / "index.json").read_text()):
        done = run(lab, *known["argv"])
        assert done.returncode == known["exit"]
        assert done.stdout == (folder / known["stdout"]).read_bytes()
        assert done.stderr == (folder / known["stderr"]).read_bytes()


def test_recorded_successes_come_through_the_real_program(replay: RunningLab) -> None:
    check_recorded_commands(replay, "healthy")


def test_recorded_failures_come_through_the_real_program() -> None:
    with start_lab(replay=RECORDINGS / "rights-no-exec") as lab:
        check_recorded_commands(lab, "rights-no-exec")


def test_the_program_takes_the_kubeconfig_from_a_flag_too(
    replay: RunningLab, tmp_path: Path
) -> None:
    arguments = ("--kubeconfig", str(replay.kubeconfig), "--context=lab-healthy", "bgp", "peers")
    env = {"KUBECONFIG": str(tmp_path / "missing")}
    done = run(replay, *arguments, "-o", "json", env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (RECORDINGS / "healthy" / "cli" / "1.stdout").read_bytes()


def test_the_program_merges_several_kubeconfigs(replay: RunningLab, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text('{"contexts": [{"name": "x", "context": {}}], "current-context": "x"}')
    files = {"KUBECONFIG": f"{other}:{tmp_path / 'missing'}:{replay.kubeconfig}"}
    assert run(replay, "--context", "lab-healthy", "version", env=files).returncode == 0


def recorded(case: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a recorded failure."""
    meta = (ERRORS / f"{case}.meta").read_text()
    code = int(meta.partition("rc: ")[2].split()[0])
    texts = [
        path.read_text() if path.exists() else ""
        for path in (ERRORS / f"{case}.stdout", ERRORS / f"{case}.stderr")
    ]
    return code, texts[0], texts[1]


def order_free(text: str) -> list[str]:
    """The lines of JSON, or the parts of a list of errors, in no order."""
    bare = re.sub(r"v0\.19\.7(-bench)?", "v0.19.7", text)
    return sorted(re.split(r",? *\n|\[|\]|, (?=Get |unable|Unauth)", bare))


COMMANDS = {
    "bgp-peers--o-json": ("bgp", "peers", "-o", "json"),
    "bgp-routes-available-ipv4-unicast--o-json": (
        *("bgp", "routes", "available", "ipv4", "unicast"),
        *("-o", "json"),
    ),
    "status--o-json": ("status", "-o", "json"),
    "version": ("version",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_kubeconfig_the_program_fails_as_the_real_one(
    replay: RunningLab, tmp_path: Path, command: str
) -> None:
    done = run(replay, *COMMANDS[command], env={"KUBECONFIG": str(tmp_path / "missing")})
    code, stdout, stderr = recorded(f"nokubeconfigenv-{command}")
    assert done.returncode == code
    assert order_free(done.stdout.decode()) == order_free(stdout)
    assert order_free(done.stderr.decode()) == order_free(stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_context_fails_as_in_the_real_one(replay: RunningLab, command: str) -> None:
    done = run(replay, "--context", "nope", *COMMANDS[command])
    found = (done.returncode, done.stdout.decode(), done.stderr.decode())
    assert found == recorded(f"badcontext-{command}")


def altered(lab: RunningLab, target: Path, pattern: str, replacement: str) -> dict[str, str]:
    """An environment with a changed copy of the lab's kubeconfig."""
    target.write_text(re.sub(pattern, replacement, lab.kubeconfig.read_text()))
    return {"KUBECONFIG": str(target)}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_is_gone_fails_as_in_the_real_one(
    replay: RunningLab, tmp_path: Path, command: str
) -> None:
    env = altered(replay, tmp_path / "config", r"https://127\.0\.0\.1:\d+", "https://127.0.0.1:1")
    done = run(replay, *COMMANDS[command], env=env)
    code, stdout, stderr = (
        text.replace("6999", "1") if isinstance(text, str) else text
        for text in recorded(f"unreachable-{command}")
    )
    assert done.returncode == code
    assert order_free(done.stdout.decode()) == order_free(str(stdout))
    assert order_free(done.stderr.decode()) == order_free(str(stderr))


@pytest.mark.parametrize("command", ["bgp-peers--o-json", "status--o-json"])
def test_a_wrong_token_fails_as_in_the_real_one(
    replay: RunningLab, tmp_path: Path, command: str
) -> None:
    env = altered(replay, tmp_path / "config", r'"token": ".*"', '"token": "wrong"')
    done = run(replay, *COMMANDS[command], env=env)
    code, stdout, stderr = recorded(f"token-{command}")
    assert done.returncode == code
    assert order_free(done.stdout.decode()) == order_free(stdout)
    assert order_free(done.stderr.decode()) == order_free(stderr)


def test_a_wrong_authority_fails_as_in_the_real_one(replay: RunningLab, tmp_path: Path) -> None:
    env = altered(replay, tmp_path / "config", r'"certificate-authority-data": ".*"', '"x": ""')
    done = run(replay, *COMMANDS["bgp-peers--o-json"], env=env)
    code, _, stderr = recorded("badca-bgp-peers--o-json")
    port = replay.url.rpartition(":")[2]
    assert (done.returncode, done.stderr.decode()) == (code, stderr.replace("6443", port))


@pytest.mark.parametrize("text", ["", "a: b", "[]", '{"contexts": [1], "current-context": "x"}'])
def test_a_kubeconfig_that_is_none_is_one_line(
    replay: RunningLab, tmp_path: Path, text: str
) -> None:
    (tmp_path / "config").write_text(text)
    done = run(replay, "bgp", "peers", env={"KUBECONFIG": str(tmp_path / "config")})
    assert done.returncode == 1
    assert len(done.stderr.decode().strip().splitlines()) == 1
    assert b"Traceback" not in done.stderr


def test_a_missing_kubeconfig_flag_is_named(replay: RunningLab, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    done = run(replay, "--kubeconfig", str(missing), "version")
    message = f"unable to create Kubernetes client: stat {missing}: no such file or directory\n"
    assert (done.returncode, done.stderr.decode()) == (1, message)


def test_a_run_that_was_killed_prints_and_hangs_until_it_is_killed(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(RECORDINGS / "healthy", copy)
    index = json.loads((copy / "cli" / "index.json").read_text())
    index[0]["exit"] = 124
    (copy / "cli" / "index.json").write_text(json.dumps(index))
    with (
        start_lab(replay=copy) as lab,
        subprocess.Popen(
            [lab.cilium, *index[0]["argv"]],
            env={"KUBECONFIG": str(lab.kubeconfig)},
            stdout=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdout is not None
        whole = (copy / "cli" / "0.stdout").read_bytes()
        assert process.stdout.read(len(whole)) == whole
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        assert process.wait() == -signal.SIGTERM


@given(st.lists(st.text()))
def test_any_arguments_are_parsed(argv: list[str]) -> None:
    words, flags = parsed(argv)
    assert len(words) + len(flags) <= len(argv)
