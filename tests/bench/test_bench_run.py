import json
import os
import sys

import pytest
import run as bench

ROW = {"name": "a", "issue": 1, "command": "python -c 1", "key": "x"}


def target(**fields):
    return bench.Target.model_validate(ROW | fields)


@pytest.mark.parametrize(
    ("fields", "value", "verdict"),
    [
        ({"floor": 1}, 1, "met"),
        ({"floor": 1}, 0.9, "missed"),
        ({"ceiling": 1}, 1, "met"),
        ({"ceiling": 1}, 1.1, "missed"),
        ({"expected": 1, "tolerance": 0.1}, 1.09, "met"),
        ({"expected": 1, "tolerance": 0.1}, 0.89, "missed"),
        ({"floor": 1, "goal": 2}, 1.5, "below goal"),
        ({"floor": 1, "goal": 2}, 2, "met"),
        ({"ceiling": 2, "goal": 1}, 1.5, "below goal"),
        ({"ceiling": 2, "goal": 1}, 0.5, "met"),
        ({"floor": 1}, None, "no value"),
        ({"floor": 1}, float("nan"), "no value"),
    ],
)
def test_verdict(fields, value, verdict):
    assert target(**fields).verdict(value) == verdict


def test_a_row_without_bound_is_refused():
    with pytest.raises(ValueError, match="needs one of floor"):
        target()


def printing(code, **fields):
    return target(command=f'{sys.executable} -c "{code}"', **fields)


def test_values_come_from_the_last_line_and_from_files():
    printed = printing('print(1); print(\'{\\"x\\": {\\"y/z@10\\": 3}}\')', name="printed", key="x.y/z@10", floor=1)
    lacks = printed.model_copy(update={"name": "lacks", "key": "x.other"})
    to_file = "open('{tmp}/m.json', 'w').write('{\\\"x\\\": 4}')"
    written = printing(to_file, name="written", json="{tmp}/m.json", floor=1)
    assert bench.measure([printed, lacks, written]) == {"printed": 3, "lacks": None, "written": 4}


def test_each_command_runs_once_and_what_it_needs_before(tmp_path):
    def log(letter):
        return f"{sys.executable} -c \"open('{tmp_path}/log', 'a').write('{letter}')\""

    rows = [
        target(name="b", command=log("b"), after=log("a"), key="process.seconds", ceiling=60),
        target(name="b2", command=log("b"), key="process.gigabytes", ceiling=60),
        target(name="a", command=log("a"), key="process.seconds", ceiling=60),
        target(name="c", command=log("c"), key="process.seconds", ceiling=60, repeat=3),
    ]
    values = bench.measure(rows)
    assert (tmp_path / "log").read_text() == "abccc"
    assert all(0 < value < 60 for value in values.values())


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "print('{\\\"x\\\": 1}'); raise SystemExit(1)"])
def test_a_command_that_fails_has_no_value(code, capfd):
    assert bench.measure([printing(code, floor=0)]) == {"a": None}
    assert "exit status" in capfd.readouterr().err


def test_a_command_that_does_not_exist_has_no_value():
    assert bench.measure([target(command="no-such-program", floor=0)]) == {"a": None}


def test_rows_whose_data_are_not_there_are_left_out(call, monkeypatch):
    rows = [{"name": "one", "floor": 6, "needs": "SOME_DATA"}, {"name": "two", "floor": 4}]
    monkeypatch.delenv("SOME_DATA", raising=False)
    status, lines, results = call(rows)
    assert (status, lines) == (0, ["one\t-\t≥ 6\tno data", "two\t5\t≥ 4\tmet"])
    assert [row["value"] for row in results] == [None, 5]
    monkeypatch.setenv("SOME_DATA", "/some")
    assert call(rows)[0] == 1


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Calls the script on rows of constant value; returns status, printed lines and results."""

    def call(rows, *arguments):
        (tmp_path / "five.py").write_text("print('{\"x\": 5}')")
        program = f"{sys.executable} {tmp_path}/five.py"
        fields = [{"command": program, "key": "x", "issue": 1} | row for row in rows]
        text = "\n".join("[[target]]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in row.items()) for row in fields)
        (tmp_path / "targets.toml").write_text(text)
        output = tmp_path / "new" / "results.json"
        paths = ["--targets", str(tmp_path / "targets.toml"), "--output", str(output)]
        monkeypatch.setattr(sys, "argv", ["run.py", *paths, *arguments])
        with pytest.raises(SystemExit) as stopped:
            bench.main()
        results = json.loads(output.read_text()) if output.exists() else None
        return stopped.value.code, capsys.readouterr().out.splitlines(), results

    return call


def test_prints_plain_lines_in_a_pipe_and_writes_results(call):
    status, lines, results = call([{"name": "one", "floor": 4, "goal": 6}, {"name": "two", "ceiling": 5}])
    assert lines == ["one\t5\t≥ 4, goal 6\tbelow goal", "two\t5\t≤ 5\tmet"]
    assert not status
    assert [row["value"] for row in results] == [5, 5]


def test_a_missed_bound_is_exit_status_1(call):
    assert call([{"name": "one", "floor": 6}])[0] == 1


def test_selection(call):
    rows = [{"name": "one", "floor": 1}, {"name": "two", "floor": 1, "issue": 2}]
    assert [line[:3] for line in call(rows, "--issue", "2")[1]] == ["two"]
    assert [line[:3] for line in call(rows, "--only", "on", "x")[1]] == ["one"]
    assert "no row" in call(rows, "--only", "x")[0]


def test_names_are_unique(call):
    assert "['one'] more than once" in call([{"name": "one", "floor": 1}] * 2)[0]


def test_the_projects_own_targets_are_valid():
    rows = bench.read(bench.BENCH / "targets.toml")
    assert len(rows) > 10
    assert all(row.command.split()[0] in ("python", "mtkit", "make") for row in rows)
    scripts = [word for row in rows for word in row.command.split() if word.endswith(".py")]
    assert all(os.path.exists(bench.BENCH.parent / script) for script in scripts)  # noqa: PTH110


def test_rows_of_several_seeds_read_what_such_runs_record():
    for row in bench.read(bench.BENCH / "targets.toml"):
        if row.command.startswith("mtkit run") and "--seeds" in row.command:
            assert row.key.startswith("process.") or row.key.endswith((".mean", ".std")), row.name
