"""Tables on a terminal that is narrower than they are."""

import re
import sys

import pytest

from reactor.cli.output import print_rows

ALERT = "01a22d2c-2bf0-7220-a1bb-cf2adfaf557b"


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a command shows on a terminal of so many columns."""

    def run(columns: int, show) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        capsys.readouterr()
        show()
        return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)

    return run


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 140])
def test_an_id_that_the_next_command_needs_is_never_folded(shown, columns):
    row = {
        "id": ALERT,
        "severity": "critical",
        "type": "dead_event",
        "tenant": "Harborline Lending",
        "raised": "5 min 45 s ago",
        "message": "1 event of type invoice.created cannot be handled: failed 2 times",
    }
    assert ALERT in shown(columns, lambda: print_rows([row], list(row), whole=("id",)))


def test_where_a_table_would_cut_most_words_each_row_is_a_block(shown):
    rows = [
        {"table_name": "public.invoices", "event_type": "invoice.created", "on": "insert", "payload": None},
        {"table_name": "public.meter_reads", "event_type": "meter.read", "on": "insert", "payload": "kwh"},
    ]
    assert shown(30, lambda: print_rows(rows, list(rows[0]))) == (
        "table name  public.invoices\n"
        "event type  invoice.created\n"
        "on          insert\n"
        "payload     -\n"
        "\n"
        "table name  public.meter_reads\n"
        "event type  meter.read\n"
        "on          insert\n"
        "payload     kwh\n"
    )
    heading, first, second = shown(80, lambda: print_rows(rows, list(rows[0]))).splitlines()
    assert (heading.split()[0], first.split()[0], second.split()[0]) == (
        "table",
        "public.invoices",
        "public.meter_reads",
    )


def test_nothing_is_said_alike_everywhere(shown):
    assert shown(20, lambda: print_rows([], ["id", "severity", "message"], empty="None.")) == "None.\n"
