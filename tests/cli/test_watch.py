import sys

from nucleate.cli._watch import watching


def test_a_finished_part_is_told_once(capsys):
    with watching(quiet=False) as watcher:
        tick = watcher.part("reading", 2)
        for done in (1, 2, 2, 2):
            tick(done, "")
    assert not sys.stderr.isatty()
    assert capsys.readouterr().err.count("reading: 2/2") == 1
