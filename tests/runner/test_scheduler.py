"""Jobs: what a scheduler is told, and how a program is stopped and begun again."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from jaxemerge.runner.scheduler import Command, LaunchError, Resources, end, failures, submit

# Stands in for Slurm: keeps what it is given, and answers as sbatch does.
SBATCH = """#!/bin/sh
cp "$1" "$(dirname "$0")/given"
echo Submitted batch job 4711
"""
# Partitions with their default and longest time.
SINFO = """#!/bin/sh
case "$*" in
*-p*debug*) echo 'debug|30:00|4:00:00';;
*-p*open*) echo 'open|n/a|infinite';;
*-p*none*) echo 'sinfo: error: no such partition' >&2; exit 1;;
*) printf 'gpu*|n/a|2-00:00:00\\ncpu|1:00|1:00:00\\n';;
esac
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with programs called srun and sbatch, first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"srun": "#!/bin/sh\n", "sbatch": SBATCH, "sinfo": SINFO}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_slurm_gets_an_array_with_its_resources_that_is_told_before_it_ends(slurm, tmp_path):
    resources = Resources(
        partition="gpu",
        minutes=239.2,
        gpus=2,
        cpus=8,
        memory=32 * 10**9,
        parallel=4,
        further={"account": "physics", "qos": "long"},
    )
    found = submit("slurm", [["echo", str(i)] for i in range(3)], tmp_path / "jobs", resources, "study")
    assert [job.job_id for job in found] == ["4711_0", "4711_1", "4711_2"]
    lines = (slurm / "given").read_text().splitlines()
    options = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert options >= {
        "array=0-2%3",
        "partition=gpu",
        "time=239",
        "gpus-per-node=2",
        "cpus-per-task=8",
        "mem=30517M",
        "account=physics",
        "qos=long",
        "job-name=study",
        "requeue",
        "signal=USR2@180",
    }
    assert any(option.startswith(f"output={tmp_path / 'jobs'}") for option in options)


def test_what_is_not_asked_for_is_left_to_slurm_and_its_own_options_win(slurm, tmp_path):
    submit("slurm", [["echo"]], tmp_path / "jobs", Resources(further={"signal": "USR2@600"}), "study")
    text = (slurm / "given").read_text()
    assert "signal=USR2@600" in text
    assert not [word for word in ("partition", "gpus", "cpus", "mem=", "array=") if word in text]


def test_a_refusal_of_slurm_is_told(slurm, tmp_path):
    (slurm / "sbatch").write_text("#!/bin/sh\necho invalid partition specified: gpu >&2\nexit 1\n")
    with pytest.raises(LaunchError, match=r"^--launch slurm: .*invalid partition specified: gpu"):
        submit("slurm", [["echo"]], tmp_path / "jobs", Resources(partition="gpu", minutes=9), "study")


def test_where_slurm_or_submitit_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match="--launch slurm: no sbatch and srun here"):
        submit("slurm", [["echo"]], tmp_path / "jobs", Resources(), "study")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(LaunchError, match=r"needs submitit: pip install 'jaxemerge\[slurm\]'$"):
        submit("local", [["echo"]], tmp_path / "jobs", Resources(), "study")


def test_a_program_that_fails_is_an_error_that_names_it():
    Command()([sys.executable, "-c", ""])
    with pytest.raises(RuntimeError, match=r"^exit code 3: .* -c 'raise SystemExit\(3\)'$"):
        Command()([sys.executable, "-c", "raise SystemExit(3)"])


SLOW_TO_STOP = """
import pathlib, signal, sys, time
def stop(*_):
    time.sleep(0.3)  # saving
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1], "ready").touch()
time.sleep(60)
"""


class EndedError(Exception):
    pass


def test_a_job_that_must_end_lets_its_program_save_and_is_queued_again(tmp_path):
    command, queued = Command(), []
    words = [sys.executable, "-c", SLOW_TO_STOP, str(tmp_path)]

    def at_signal(number, frame):  # as submitit does
        queued.append(command.checkpoint(words))
        assert (tmp_path / "saved").exists()
        raise EndedError

    def send_when_ready():
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR2)

    former = signal.signal(signal.SIGUSR2, at_signal)
    try:
        threading.Thread(target=send_when_ready).start()
        with pytest.raises(EndedError):
            command(words)
    finally:
        signal.signal(signal.SIGUSR2, former)
    assert queued[0].args == (words,)
    assert isinstance(queued[0].function, Command)
    assert vars(queued[0].function) == {"_watched": (), "_before": (), "_stalled": 0, "_asked": False}


def test_jobs_on_this_machine_end_with_their_launcher(tmp_path):
    """Their programs save; nothing of a terminal reaches them, and no wrapper stays."""
    former = signal.getsignal(signal.SIGINT)
    jobs = submit(
        "local", [[sys.executable, "-c", SLOW_TO_STOP, str(tmp_path)]], tmp_path / "jobs", Resources(), ""
    )
    assert signal.getsignal(signal.SIGINT) is former
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(int(jobs[0].job_id), signal.SIGINT)  # as a terminal does
    assert not (tmp_path / "saved").exists()
    end(jobs)
    assert (tmp_path / "saved").exists()
    assert jobs[0].done()
    assert failures(tmp_path / "jobs") == {}  # it was asked to stop


LOG = "Traceback:\nerror: {said}\n\nRuntimeError: {why}: python run.py --cells {cells} --wait 9\n"


def test_why_jobs_failed_is_read_from_their_logs(tmp_path):
    def written(number, **fields):
        path = tmp_path / f"{number}_0_log.err"
        path.write_text(LOG.format(**fields))
        os.utime(path, (number, number))
        return path

    assert failures(tmp_path / "none") == {}
    written(1, said="too early", why="exit code 2", cells="a,b")
    second = written(2, said="no space left", why="exit code 1", cells="b,c")
    third = written(3, said="", why="exit code -9", cells="d").rename(tmp_path / "3.err")
    third.write_text(third.read_text().replace("error: \n", ""))
    written(4, said="", why="exit code 143", cells="c")  # stopped since
    (tmp_path / "5.err").write_text("")
    (tmp_path / "6.err").write_text("RuntimeError: exit code 1: of something else\n")
    assert failures(tmp_path) == {
        "a": f"too early ({tmp_path / '1_0_log.err'})",
        "b": f"no space left ({second})",
        "d": f"exit code -9 ({third})",
    }


def queued_again(command, words):
    """What is queued after the program has saved and exited."""
    command._program = SimpleNamespace(returncode=143)
    return command.checkpoint(words).function


def test_a_program_whose_end_the_interrupted_code_has_just_seen(tmp_path):
    """The signal came between the system's answer and the note of it."""
    command = Command()
    command._program = subprocess.Popen([sys.executable, "-c", ""])
    os.waitpid(command._program.pid, 0)
    assert isinstance(command.checkpoint(["train"]).function, Command)


def test_a_job_without_progress_in_two_time_limits_is_not_queued_again(tmp_path):
    cell = tmp_path / "cell"
    cell.mkdir()
    command = queued_again(Command([cell]), ["train"])  # nothing yet
    with pytest.raises(RuntimeError, match="no finished seed in the last 2 time limits: not queued again"):
        queued_again(command, ["train"])
    place = cell / "checkpoints" / "seeds-0-1-aa" / "000000007"
    place.mkdir(parents=True)
    (place / ".chunk.json.partial").touch()
    with pytest.raises(RuntimeError, match="not queued again"):
        queued_again(command, ["train"])
    (place / "chunk.json").touch()
    command = queued_again(queued_again(command, ["train"]), ["train"])
    (cell / "seeds-0-1-aa.json").touch()
    assert queued_again(command, ["train"])._stalled == 0


@pytest.mark.parametrize(
    ("minutes", "warning"), [(1, 30), (2, 60), (5, 150), (6, 180), (7, 180), (2880, 180)]
)
def test_the_warning_comes_after_the_start_of_a_short_job(slurm, tmp_path, minutes, warning):
    """A warning that is due before the start would have the job queued again for ever."""
    submit("slurm", [["echo"]], tmp_path / "jobs", Resources(minutes=minutes), "study")
    assert f"signal=USR2@{warning}\n" in (slurm / "given").read_text()


@pytest.mark.parametrize(
    ("partition", "limit"), [(None, 2 * 1440), ("debug", 30), ("open", 7 * 1440), ("debug,cpu", 30)]
)
def test_where_no_time_is_asked_for_it_is_that_of_the_partition(slurm, tmp_path, partition, limit):
    """submitit alone would set five minutes."""
    submit("slurm", [["echo"]], tmp_path / "jobs", Resources(partition=partition), "study")
    assert f"--time={limit}\n" in (slurm / "given").read_text()


def test_a_partition_that_slurm_does_not_know(slurm, tmp_path):
    with pytest.raises(
        LaunchError, match=r"--launch slurm: sinfo: error: no such partition; choose one with"
    ):
        submit("slurm", [["echo"]], tmp_path / "jobs", Resources(partition="none"), "study")
    (slurm / "sinfo").write_text("#!/bin/sh\n")
    with pytest.raises(LaunchError, match="sinfo shows no partition that is the default; choose one with"):
        submit("slurm", [["echo"]], tmp_path / "jobs", Resources(), "study")
