from __future__ import annotations

import asyncio
import sqlite3

import pytest

from payments.group_commit import LARGEST_GROUP, GroupCommit, NotKept, SqliteWriter, Unkeepable

ROWS = [("a",), ("b",), ("c",)]


class NotedWriter:
    """Remembers the groups that it was given, and fails as told."""

    def __init__(self, *failures):
        self.groups = []
        self.failures = list(failures)
        self.forgotten = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, rows):
        await self.gate.wait()
        self.groups.append(list(rows))
        if ("bad",) in rows:
            raise sqlite3.IntegrityError
        if self.failures:
            raise self.failures.pop(0)
        return len(rows)

    async def forget(self):
        self.forgotten += 1


async def outcome(commits, row):
    try:
        await commits.commit(row)
    except (NotKept, Unkeepable) as error:
        return type(error)
    return "kept"


def test_those_that_wait_share_a_transaction_of_at_most_sixty_four():
    async def story():
        writer = NotedWriter()
        writer.gate.clear()
        commits = GroupCommit(writer)
        waiting = [asyncio.create_task(commits.commit((number,))) for number in range(150)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        writer.gate.set()
        await asyncio.gather(*waiting)
        return writer.groups

    groups = asyncio.run(story())

    assert [number for group in groups for (number,) in group] == list(range(150))
    assert max(map(len, groups)) == LARGEST_GROUP
    assert len(groups) == 3


def test_one_that_cannot_be_stored_does_not_spoil_it_for_the_others():
    async def story():
        commits = GroupCommit(NotedWriter())
        return await asyncio.gather(*(outcome(commits, row) for row in (("a",), ("bad",), ("b",))))

    assert asyncio.run(story()) == ["kept", Unkeepable, "kept"]


@pytest.mark.parametrize(
    "failure",
    [
        sqlite3.OperationalError("database is locked"),
        sqlite3.OperationalError("database or disk is full"),
        OSError("connection reset"),
        TypeError("a fault of ours"),
    ],
)
def test_after_trouble_those_waiting_are_told_and_the_next_ones_are_kept(failure):
    async def story():
        writer = NotedWriter(failure)
        commits = GroupCommit(writer)
        first = await asyncio.gather(*(outcome(commits, row) for row in ROWS))
        return first, await outcome(commits, ("d",)), writer.forgotten

    first, then, forgotten = asyncio.run(story())

    assert first == [NotKept] * 3
    assert then == "kept"
    assert forgotten == 1


def test_a_group_is_written_in_the_order_of_the_ids_whoever_came_first():
    async def story():
        writer = NotedWriter()
        commits = GroupCommit(writer)
        await asyncio.gather(*(commits.commit(row) for row in reversed(ROWS)))
        return writer.groups

    assert asyncio.run(story()) == [ROWS]


def test_a_sender_that_stopped_waiting_does_not_disturb_the_group():
    async def story():
        writer = NotedWriter()
        writer.gate.clear()
        commits = GroupCommit(writer)
        gone, stays = (asyncio.create_task(commits.commit(row)) for row in ROWS[:2])
        await asyncio.sleep(0.01)
        gone.cancel()
        writer.gate.set()
        await stays
        return writer.groups

    assert asyncio.run(story()) == [ROWS[:2]]


def test_a_full_disk_refuses_whole_groups_and_leaves_the_table_sound(tmp_path):
    file = sqlite3.connect(tmp_path / "full.sqlite3")
    file.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA page_size=4096;"
        "CREATE TABLE kept (id INTEGER PRIMARY KEY, body TEXT);"
    )

    class SmallDisk(SqliteWriter):
        def _opened(self):
            if self._connection is None:
                self._connection = sqlite3.connect(tmp_path / "full.sqlite3", isolation_level=None)
                self._connection.execute("PRAGMA max_page_count=60")
                self._sql = "INSERT INTO kept (body) VALUES (?)"
            return self._connection

    async def story():
        commits = GroupCommit(SmallDisk())
        outcomes = [await outcome(commits, ("x" * 4000,)) for _ in range(100)]
        await commits.close()
        return outcomes

    outcomes = asyncio.run(story())

    (acknowledged,) = file.execute("SELECT count(*) FROM kept").fetchone()
    assert outcomes.count("kept") == acknowledged > 10
    assert outcomes[-1] is NotKept
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()
