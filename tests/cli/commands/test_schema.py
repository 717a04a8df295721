import json

from click.testing import CliRunner

from mtkit.cli.program import main


def test_the_schema_is_printed_or_written_whole(tmp_path):
    printed = CliRunner().invoke(main, ["schema"])
    assert printed.exit_code == 0
    out = tmp_path / "mtkit.schema.json"
    written = CliRunner().invoke(main, ["schema", "--out", str(out)])
    assert "`#:schema mtkit.schema.json`" in written.stdout
    assert json.loads(out.read_text()) == json.loads(printed.stdout)
    assert json.loads(out.read_text())["$schema"].endswith("draft/2020-12/schema")
