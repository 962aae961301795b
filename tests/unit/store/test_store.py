"""The store on both engines: every test of this folder runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from offload.errors import (
    BlobMissingError,
    JobNotFoundError,
    PoolReleasedError,
    SettingsError,
    StoreError,
    TaskNotFoundError,
)
from offload.lifecycle.task import CANCELLED_BEFORE_START, CancelRequested, Refused
from offload.model.array import parse_array
from offload.model.ids import pool_id, runner_id
from offload.model.manifest import Entry, Kind, Manifest, digest_of
from offload.model.outcome import Outcome
from offload.model.parameters import Parameters, Table
from offload.model.reasons import Reason, ReasonCode
from offload.model.spec import Spec
from offload.model.states import AttemptState, State, Target
from offload.model.use import Use
from offload.store import events, facts, grants, jobs, leases, manifests, migrate, owner, pools, tasks
from offload.store.engine import Store, make_engine
from offload.store.schema import metadata
from offload.wire.api import Slowest, Submission
from offload.wire.runner_protocol import Completion, LeaseRequest, Order, OrderKind

MANIFEST = Manifest.of([Entry(b"fit.R", Kind.FILE, 0o644, 3, digest_of(b"abc"))])
SNAPSHOT = digest_of(MANIFEST.encode())


def submit(store: Store, key: str = "k", array: str = "1", **options):
    store.run_now(manifests.put, SNAPSHOT, MANIFEST.encode(), MANIFEST, 1.0)
    spec = Spec(
        command=("Rscript", "fit.R"),
        name="fit.R",
        cluster="local",
        snapshot=SNAPSHOT,
        home="file://here/work",
        array=parse_array(array),
        **options,
    )
    view, _ = store.run_now(jobs.submit, Submission(spec=spec, key=key), "ada", 1.0)
    return view


def runner_of(job: str, number: int = 0):
    return runner_id(pool_id(job), number)


def grant(store: Store, job: str, *, slots: int = 1, number: int = 0, known=(), now: float = 2.0):
    runner = runner_of(job, number)
    return store.run_now(grants.grant, runner, slots=slots, known=known, now=now, ttl=60.0)


def settle(store: Store, job: str, token: str, outcome: Outcome, number: int = 0):
    completion = Completion(token=token, outcome=outcome)
    return store.run_now(tasks.settle, runner_of(job, number), [completion], 5.0)


def test_a_job_comes_back_as_it_was_submitted(store):
    view = submit(store, array="1-3,9")
    again = store.run_now(jobs.get, view.id)
    assert again == view
    assert again.user == "ada"
    assert list(again.spec.array) == [1, 2, 3, 9]
    assert (again.state, again.target, again.counts.pending) == (State.PENDING, Target.DONE, 4)


def test_the_same_key_makes_one_job(store):
    first = submit(store, "same")
    spec = first.spec
    second, new = store.run_now(jobs.submit, Submission(spec=spec, key="same"), "ada", 9.0)
    assert (second.id, new) == (first.id, False)
    assert len(store.run_now(jobs.page).jobs) == 1


def test_a_job_without_its_snapshot_is_refused(store):
    spec = Spec(command=("true",), name="t", cluster="local", snapshot="sha256:no", home="file://h/w")
    with pytest.raises(BlobMissingError) as caught:
        store.run_now(jobs.submit, Submission(spec=spec, key="k"), "ada", 1.0)
    assert caught.value.details["digests"] == ["sha256:no"]


def test_an_unknown_job_suggests_near_ids_and_names(store):
    view = submit(store)
    for wrong in (view.id[:-1] + "0", "fit.R"):
        with pytest.raises(JobNotFoundError) as caught:
            store.run_now(jobs.get, wrong)
        assert caught.value.details["near"] == [view.id]
        assert view.id in caught.value.next_step


def test_pages_of_jobs_are_complete_and_newest_first(store):
    ids = [submit(store, f"k{n}").id for n in range(5)]
    first = store.run_now(jobs.page, limit=2)
    second = store.run_now(jobs.page, limit=2, before=first.next)
    third = store.run_now(jobs.page, limit=2, before=second.next)
    seen = [job.id for page in (first, second, third) for job in page.jobs]
    assert seen == ids[::-1]
    assert third.next is None


def test_pages_of_tasks_are_complete_and_in_order(store):
    view = submit(store, array="1-5")
    first = store.run_now(tasks.page, view.id, limit=3)
    second = store.run_now(tasks.page, view.id, limit=3, after=first.next)
    assert [task.index for task in first.tasks + second.tasks] == [1, 2, 3, 4, 5]
    assert second.next is None
    with pytest.raises(TaskNotFoundError, match="no task 7"):
        store.run_now(tasks.get, view.id, 7)


def test_a_task_runs_and_succeeds_with_all_that_was_reported(store):
    job = submit(store).id
    (lease,) = grant(store, job)
    assert store.run_now(jobs.get, job).state is State.RUNNING
    use = Use(wall=1.5, cpu=1.0, peak_memory=7, bytes_in=3, bytes_out=4)
    outcome = Outcome(exit_status=0, use=use, results=SNAPSHOT, result={"auc": 0.9})
    settle(store, job, lease.token, outcome)
    task = store.run_now(tasks.get, job, 1)
    assert (task.state, task.results, task.result) == (State.SUCCEEDED, SNAPSHOT, {"auc": 0.9})
    (attempt,) = task.attempts
    assert (attempt.state, attempt.use, attempt.number) == (AttemptState.SUCCEEDED, use, 1)
    view = store.run_now(jobs.get, job)
    assert (view.state, view.exit_status, view.ended) == (State.SUCCEEDED, 0, 5.0)
    kinds = [event.kind for event in store.run_now(events.read, job=job)]
    assert kinds == ["submitted", "task_started", "job_started", "task_ended", "job_ended"]


def test_nothing_ends_before_it_began_when_the_clock_is_set_back(store):
    view = submit(store)
    (lease,) = grant(store, view.id, now=1000.0)
    settle(store, view.id, lease.token, Outcome(exit_status=0))
    job = store.run_now(jobs.get, view.id)
    (attempt,) = store.run_now(tasks.get, view.id, 1).attempts
    assert (job.started, job.ended) == (1000.0, 1000.0)
    assert (attempt.started, attempt.ended) == (1000.0, 1000.0)


def test_a_completion_counts_once_and_only_from_the_holder(store):
    job = submit(store, array="1-2").id
    (lease,) = grant(store, job)
    settle(store, job, lease.token, Outcome(exit_status=0), number=7)
    assert store.run_now(jobs.get, job).counts.running == 1
    for status in (0, 1, 0):
        assert settle(store, job, lease.token, Outcome(exit_status=status)) == [lease.token]
    counts = store.run_now(jobs.get, job).counts
    assert (counts.succeeded, counts.failed, counts.pending, counts.running) == (1, 0, 1, 0)


def test_a_lease_whose_answer_got_lost_is_handed_out_again(store):
    job = submit(store, array="1-3").id
    (lease,) = grant(store, job)
    assert grant(store, job) == [lease]
    (other,) = grant(store, job, known=[lease.token])
    assert other.task == 2


def test_a_lost_runner_gives_its_tasks_back_uncharged(store):
    job = submit(store).id
    (lease,) = grant(store, job)
    reason = Reason(code=ReasonCode.RUNNER_LOST, sentence="The runner is gone.")
    assert store.run_now(pools.ended, runner_of(job), reason, 3.0)
    assert not store.run_now(pools.ended, runner_of(job), reason, 4.0)
    task = store.run_now(tasks.get, job, 1)
    assert (task.state, task.reason) == (State.PENDING, reason)
    assert settle(store, job, lease.token, Outcome(exit_status=0)) == [lease.token]
    assert store.run_now(tasks.get, job, 1).state is State.PENDING
    (second,) = grant(store, job, number=1)
    assert second.attempt == 2


def test_a_runner_that_was_seen_to_end_is_sent_away(store):
    job = submit(store).id
    store.run_now(pools.hello, runner_of(job), 2.0)
    reason = Reason(code=ReasonCode.RUNNER_LOST, sentence="The runner is gone.")
    store.run_now(pools.ended, runner_of(job), reason, 3.0)
    with pytest.raises(PoolReleasedError):
        store.run_now(pools.hello, runner_of(job), 4.0)
    store.run_now(pools.hello, runner_of(job, 1), 4.0)


def test_runners_that_end_before_hello_are_counted_until_one_speaks(store):
    job = submit(store).id
    reason = Reason(code=ReasonCode.RUNNER_LOST, sentence="It ended.", words="boom")
    for number in range(3):
        store.run_now(pools.ended, runner_of(job, number), reason, 2.0)
    _, _, _, (pool,) = store.run_now(facts.of_job, job)
    assert (pool.early_deaths, pool.last_words) == (3, "boom")
    store.run_now(pools.hello, runner_of(job, 3), 3.0)
    _, _, _, (pool,) = store.run_now(facts.of_job, job)
    assert pool.early_deaths == 0


def test_cancelling_ends_what_waits_and_marks_what_runs(store):
    job = submit(store, array="1-3").id
    (lease,) = grant(store, job)
    store.run_now(jobs.request_cancel, job, 3.0)
    assert store.run_now(tasks.end_pending, job, CancelRequested(CANCELLED_BEFORE_START), 3.0) == 2
    assert grant(store, job, number=1) == []
    request = LeaseRequest(runner=runner_of(job), free_slots=0, holding=(lease.token,))
    told = store.run_now(leases.exchange, request, 3.0, 60.0)
    assert told.response.orders == (Order(kind=OrderKind.CANCEL, token=lease.token),)
    settle(store, job, lease.token, Outcome(exit_status=143))
    view = store.run_now(jobs.get, job)
    assert (view.state, view.counts.cancelled) == (State.CANCELLED, 3)
    ended = store.run_now(jobs.request_cancel, job, 9.0)
    assert ended == view


def test_a_refused_pool_fails_what_waits_with_the_reason(store):
    job = submit(store, array="1-2").id
    reason = Reason(code=ReasonCode.REFUSED, sentence="No.", words="quota")
    store.run_now(pools.refuse, pool_id(job), reason)
    _, _, _, (pool,) = store.run_now(facts.of_job, job)
    assert pool.refused == reason
    store.run_now(tasks.end_pending, job, Refused(reason), 3.0)
    view = store.run_now(jobs.get, job)
    assert (view.state, view.reason) == (State.FAILED, reason)


def test_a_retry_is_a_new_attempt_and_the_last_failure_decides(store):
    job = submit(store, retries=1).id
    for number, now in ((1, 2.0), (2, 6.0)):
        (lease,) = grant(store, job, now=now)
        assert lease.attempt == number
        settle(store, job, lease.token, Outcome(exit_status=3))
        assert grant(store, job, now=5.4) == []
    view = store.run_now(jobs.get, job)
    assert (view.state, view.exit_status) == (State.FAILED, 3)
    assert len(store.run_now(tasks.get, job, 1).attempts) == 2


def test_why_a_job_waits_is_shown_until_it_runs(store):
    job = submit(store).id
    reason = Reason(code=ReasonCode.WAITING_FOR_CAPACITY, sentence="Waits for 4 CPUs.")
    assert store.run_now(pools.waits, pool_id(job), reason, 2.0)
    assert not store.run_now(pools.waits, pool_id(job), reason, 3.0)
    assert store.run_now(jobs.get, job).reason == reason
    assert store.run_now(tasks.get, job, 1).reason == reason
    store.run_now(pools.hello, runner_of(job), 4.0)
    assert store.run_now(jobs.get, job).reason is None


def test_expired_leases_name_their_runners_and_renewal_spares_them(store):
    job = submit(store, array="1-2").id
    (first,) = grant(store, job, number=0, now=0.0)
    (second,) = grant(store, job, number=1, now=0.0)
    assert store.run_now(tasks.renew, runner_of(job, 1), [first.token, second.token], 99.0) == {second.token}
    assert store.run_now(tasks.expired, 61.0) == {runner_of(job, 0): 60.0}


def test_a_job_is_unfinished_until_its_pool_is_released(store):
    job = submit(store).id
    (lease,) = grant(store, job)
    settle(store, job, lease.token, Outcome(exit_status=0))
    assert store.run_now(jobs.unfinished) == [job]
    store.run_now(pools.released, pool_id(job))
    assert store.run_now(jobs.unfinished) == []


def test_blobs_stay_while_a_job_needs_them_and_go_with_its_results(store):
    job = submit(store).id
    blob = digest_of(b"abc")
    assert store.run_now(manifests.drop_unreferenced, 100.0) == 0
    assert store.run_now(manifests.needed_blobs, [blob, "sha256:x"]) == {blob}
    assert store.run_now(manifests.forget_results, job, limit=10) == 1
    store.run_now(jobs.remove_results, job, 50.0)
    assert store.run_now(manifests.drop_unreferenced, 0.5) == 0
    assert store.run_now(manifests.drop_unreferenced, 100.0) == 1
    assert store.run_now(manifests.needed_blobs, [blob]) == set()
    assert store.run_now(jobs.get, job).results_removed


def test_events_resume_after_an_id(store):
    job = submit(store).id
    first = store.run_now(events.read)
    store.run_now(jobs.request_cancel, job, 2.0)
    later = store.run_now(events.read, after=first[-1].id)
    assert [event.kind for event in later] == ["cancel_requested"]


def test_what_was_left_out_of_a_look_at_events_is_not_looked_at_again(store):
    job = submit(store).id
    store.run_now(jobs.request_cancel, job, 2.0)
    last = store.run_now(events.read)[-1].id
    some = {"job": job, "kinds": ["cancel_requested"], "limit": 10}
    (event,), after = store.run_now(events.read_on, after=0, **some)
    assert (event.id, after) == (last, last)
    assert store.run_now(events.read_on, after=0, **{**some, "kinds": ["job_ended"]}) == ([], last)
    assert store.run_now(events.read_on, after=last, **some) == ([], last)
    first = store.run_now(events.read)[0].id
    assert store.run_now(events.read_on, after=0, job=job, kinds=(), limit=1)[1] == first
    assert store.run_now(events.read_on, after=last + 5, **some) == ([], last + 5)


def test_overlapping_grants_never_share_a_task(store):
    job = submit(store, array="1-40").id
    given: list[int] = []

    def pull(number: int) -> None:
        known: list[str] = []
        while leases := grant(store, job, slots=1, number=number, known=known):
            known += [lease.token for lease in leases]
            given.extend(lease.task for lease in leases)

    threads = [threading.Thread(target=pull, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 41))
    counts = store.run_now(jobs.get, job).counts
    assert (counts.pending, counts.running) == (0, 40)


def test_the_migrations_make_the_schema_that_a_new_store_has(store_url):
    engine = make_engine(store_url)
    migrate.migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == migrate.HEAD
    engine.dispose()


def test_a_new_store_needs_no_migration(store_url):
    Store.open(store_url).close()
    engine = make_engine(store_url)
    migrate.migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_opening_twice_changes_nothing(store_url):
    store = Store.open(store_url)
    job = submit(store).id
    store.close()
    again = Store.open(store_url)
    assert again.run_now(jobs.get, job).id == job
    again.close()


def test_a_store_of_the_first_version_is_migrated_with_all_that_it_holds(store_url):
    engine = make_engine(store_url)
    migrate.migrate(engine, "0001")
    with engine.begin() as connection:
        kept = {"digest": "sha256:x", "data": b"y", "touched": 1.0}
        connection.execute(metadata.tables["manifests"].insert().values(kept))
    engine.dispose()
    store = Store.open(store_url)
    assert store.run_now(manifests.get, "sha256:x") == b"y"
    store.run_now(owner.claim, "one", "here:/data")
    store.close()


def test_launchers_that_open_a_new_store_at_once_make_it_once(store_url):
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(Store.open(store_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for store in opened:
        store.close()


def test_a_store_belongs_to_the_first_launcher_that_claims_it(store):
    store.run_now(owner.claim, "one", "here:/data")
    store.run_now(owner.claim, "one", "here:/moved")
    with pytest.raises(StoreError, match="here:/moved") as caught:
        store.run_now(owner.claim, "two", "there:/data")
    assert "there:/data" in caught.value.sentence
    store.run_now(owner.claim, "one", "here:/moved")


def test_a_store_of_a_newer_version_is_refused(store_url):
    store = Store.open(store_url)
    version = select(metadata.tables["jobs"].c.id)
    store.run_now(lambda connection: connection.execute(version))
    store.run_now(
        lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    )
    store.close()
    with pytest.raises(StoreError, match="9999"):
        Store.open(store_url)


def test_the_newest_migration_is_the_one_the_code_names():
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_an_address_that_is_no_store_is_refused():
    for url in ("mysql://x/y", "nonsense"):
        with pytest.raises(SettingsError):
            make_engine(url)


def test_a_directory_that_is_not_there_is_told_plainly(tmp_path):
    with pytest.raises(StoreError, match="can't be opened"):
        Store.open(f"sqlite:///{tmp_path}/no/store.sqlite")


async def test_a_broken_statement_becomes_an_error_of_ours(store):
    def broken(connection):
        raise OperationalError("SELECT", {}, Exception("database or disk is full"))

    with pytest.raises(Exception, match="no space left"):
        await store.run(broken)


def test_a_table_of_parameters_is_needed_by_its_job_and_outlives_the_jobs_files(store):
    part = digest_of(b'["1"]\n')
    table = Manifest.of([Entry(b"000000000000", Kind.FILE, 0o644, 6, part)])
    digest = digest_of(table.encode())
    parameters = Parameters(table=Table(digest=digest, columns=("n",), rows=1))
    with pytest.raises(BlobMissingError) as caught:
        submit(store, parameters=parameters, is_array=True)
    assert caught.value.details == {"digests": [digest]}
    store.run_now(manifests.put, digest, table.encode(), table, 1.0)
    job = submit(store, parameters=parameters, is_array=True).id
    assert store.run_now(manifests.needed_blobs, [part, digest_of(b"abc")]) == {part, digest_of(b"abc")}
    store.run_now(manifests.forget_results, job, limit=10)
    store.run_now(jobs.remove_results, job, 9.0)
    store.run_now(manifests.drop_unreferenced, 99.0)
    assert store.run_now(manifests.needed_blobs, [part, digest_of(b"abc")]) == {part}


def test_a_task_that_waits_in_a_runner_for_another_is_not_at_work(store):
    first, other = submit(store, key="a", array="1-9").id, submit(store, key="b", array="1-2").id
    grant(store, first, slots=4, number=0)
    grant(store, first, slots=1, number=1)
    grant(store, other, number=0)
    assert store.run_now(tasks.at_work, [first, other, "nope"]) == {first: 2, other: 1}


def test_the_slowest_task_is_the_one_that_has_run_longest_of_those_that_run(store):
    job = submit(store, array="1-4").id
    assert store.run_now(tasks.slowest, job) is None
    leases = [grant(store, job, number=number, now=float(10 + number))[0] for number in range(3)]
    assert store.run_now(tasks.slowest, job) == Slowest(task=1, since=10.0)
    settle(store, job, leases[0].token, Outcome(exit_status=0))
    assert store.run_now(tasks.slowest, job) == Slowest(task=2, since=11.0)
