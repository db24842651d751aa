//! Schedules and their runs, through the catalog's public door.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::places::{Place, places};
use crate::schedule::{CatchUp, Overlap, Retry, Status, When};
use crate::schedule_run::{SCHEDULE_QUEUE_MAX, Trigger};
use crate::{
    Catalog, Change, CreateMode, Schedule, ScheduleClaim, ScheduleDefinition, ScheduleOutcome, ScheduleRun,
    ScheduleRunState,
};

fn definition() -> ScheduleDefinition {
    ScheduleDefinition {
        when: When::Cron(Schedule { cron: "0 8 * * *".to_owned(), time_zone: "Asia/Seoul".to_owned() }),
        start_ms: None,
        end_ms: None,
        retry: Retry::default(),
        timeout_ms: None,
        catch_up: CatchUp::Last,
        overlap: Overlap::Skip,
        suspend_after: 0,
        statements: "SELECT 1".to_owned(),
        database: "default".to_owned(),
        dialect: "postgres".to_owned(),
        settings: BTreeMap::new(),
        comment: None,
        owner: "ada".to_owned(),
        status: Status::Active,
        since_ms: 5,
    }
}

fn create(name: &str, mode: CreateMode) -> Change {
    Change::CreateSchedule { name: name.to_owned(), definition: Box::new(definition()), mode }
}

fn id_of(catalog: &Catalog, name: &str) -> i64 {
    catalog.snapshot().schedule(name).unwrap().id
}

fn run(schedule_id: i64, at: i64, attempt: u32) -> ScheduleRun {
    // A claim's id is another with each who claims.
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ScheduleRun {
        id: format!("r{number}"),
        schedule_id,
        trigger: Trigger::Schedule,
        scheduled_at_ms: at,
        attempt,
        state: ScheduleRunState::Queued,
        queued_at_ms: at,
        not_before_ms: at,
        server_id: 0,
        cancel_requested: false,
        started_at_ms: None,
        finished_at_ms: None,
        outcome: ScheduleOutcome::default(),
    }
}

fn claim(catalog: &Catalog, schedule_id: i64, at: i64, overlap: Option<Overlap>) -> Vec<ScheduleRun> {
    let runs = vec![run(schedule_id, at, 1)];
    catalog.claim_schedule_runs(ScheduleClaim { schedule_id, runs, due_at_ms: Some(at), overlap, keep: 100 }).unwrap()
}

fn end(catalog: &Catalog, run: &ScheduleRun, state: ScheduleRunState) -> Option<u32> {
    let ended = ScheduleRun { state, finished_at_ms: Some(run.scheduled_at_ms + 1), ..run.clone() };
    catalog.end_schedule_run(&ended, None).unwrap()
}

#[test]
fn schedules_are_kept() {
    for place in places() {
        {
            let catalog = place.open();
            catalog.commit(vec![create("Nightly", CreateMode::Create)]).unwrap();
            let error = catalog.commit(vec![create("nightly", CreateMode::Create)]).unwrap_err();
            assert_eq!(error.to_string(), "schedule \"nightly\" already exists");
            catalog.commit(vec![create("nightly", CreateMode::OrReplace)]).unwrap();
            claim(&catalog, id_of(&catalog, "nightly"), 10, None);
        }
        let catalog = place.open();
        let kept = Arc::clone(catalog.snapshot().schedule("NIGHTLY").unwrap());
        assert_eq!((kept.version, &kept.definition), (2, &definition()));
        catalog.commit(vec![Change::RenameSchedule { from: "nightly".to_owned(), to: "Daily".to_owned() }]).unwrap();
        assert_eq!(id_of(&catalog, "daily"), kept.id);
        assert_eq!(catalog.schedule_runs().unwrap().len(), 1);
        let stale = Change::AlterSchedule {
            name: "daily".to_owned(),
            definition: Box::new(definition()),
            base_version: Some(2),
        };
        assert!(catalog.commit(vec![stale]).unwrap_err().to_string().contains("changed"));
        catalog.commit(vec![Change::DropSchedule { name: "daily".to_owned(), if_exists: false }]).unwrap();
        assert_eq!(catalog.schedule_runs().unwrap(), []);
        assert!(catalog.schedule_states().unwrap().is_empty());
        // What is gone is claimed by nobody.
        assert_eq!(claim(&catalog, kept.id, 11, None), []);
    }
}

#[test]
fn a_time_is_claimed_once() {
    for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create("s", CreateMode::Create)]).unwrap();
        let id = id_of(&catalog, "s");
        assert_eq!(claim(&catalog, id, 10, None).len(), 1);
        assert_eq!(claim(&catalog, id, 10, None).len(), 0);
        assert_eq!(claim(&catalog, id, 9, None).len(), 0, "it was settled with what came after");
        assert_eq!(claim(&catalog, id, 20, None).len(), 1);
        // Forgotten runs are not claimed again either.
        let keep_none = ScheduleClaim {
            schedule_id: id,
            runs: vec![ScheduleRun { state: ScheduleRunState::Skipped, ..run(id, 30, 1) }],
            due_at_ms: Some(30),
            overlap: None,
            keep: 0,
        };
        assert_eq!(catalog.claim_schedule_runs(keep_none.clone()).unwrap().len(), 1);
        assert_eq!(catalog.schedule_runs().unwrap().len(), 2, "two wait, the third is forgotten");
        assert_eq!(catalog.claim_schedule_runs(keep_none).unwrap().len(), 0);
    }
}

#[test]
fn runs_start_one_after_the_other_and_end_once() {
    for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create("s", CreateMode::Create)]).unwrap();
        let id = id_of(&catalog, "s");
        let (first, second) = (claim(&catalog, id, 10, None).remove(0), claim(&catalog, id, 20, None).remove(0));
        let started = catalog.start_schedule_run(&first.id, 11).unwrap().unwrap();
        assert_eq!((started.state, started.started_at_ms), (ScheduleRunState::Running, Some(11)));
        assert_eq!(catalog.start_schedule_run(&first.id, 11).unwrap(), None);
        assert_eq!(catalog.start_schedule_run(&second.id, 11).unwrap(), None);
        assert_eq!(end(&catalog, &started, ScheduleRunState::Failed), Some(1));
        assert_eq!(end(&catalog, &started, ScheduleRunState::Succeeded), None, "it has ended");
        let second = catalog.start_schedule_run(&second.id, 21).unwrap().unwrap();
        // A failure that is retried is none yet.
        let retry = ScheduleRun { not_before_ms: 99, ..run(id, 20, 2) };
        let failed = ScheduleRun { state: ScheduleRunState::Failed, ..second };
        assert_eq!(catalog.end_schedule_run(&failed, Some(&retry)).unwrap(), Some(1));
        let third = catalog.start_schedule_run(&retry.id, 100).unwrap().unwrap();
        assert_eq!((third.attempt, third.not_before_ms), (2, 99));
        let outcome = ScheduleOutcome { query_ids: vec!["q".to_owned()], rows: 7, ..ScheduleOutcome::default() };
        catalog.note_schedule_run(&third.id, &outcome).unwrap();
        assert_eq!(catalog.open_schedule_runs().unwrap()[0].outcome, outcome);
        assert_eq!(end(&catalog, &third, ScheduleRunState::Succeeded), Some(0));
        let state = catalog.schedule_states().unwrap().remove(&id).unwrap();
        assert_eq!((state.due_at_ms, state.success_at_ms, state.failures), (Some(20), Some(20), 0));
        assert_eq!(catalog.open_schedule_runs().unwrap(), []);
    }
}

#[test]
fn overlaps_by_policy() {
    for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create("s", CreateMode::Create)]).unwrap();
        let id = id_of(&catalog, "s");
        let state_of = |id: &str| {
            let runs = catalog.schedule_runs().unwrap();
            let run = runs.into_iter().find(|run| run.id == id).unwrap();
            (run.state, run.cancel_requested)
        };
        let first = claim(&catalog, id, 10, Some(Overlap::Skip)).remove(0);
        catalog.start_schedule_run(&first.id, 11).unwrap().unwrap();
        let skipped = claim(&catalog, id, 20, Some(Overlap::Skip)).remove(0);
        assert_eq!(skipped.state, ScheduleRunState::Skipped);
        let queued = claim(&catalog, id, 30, Some(Overlap::Queue)).remove(0);
        assert_eq!(state_of(&queued.id), (ScheduleRunState::Queued, false));
        let replacing = claim(&catalog, id, 40, Some(Overlap::Replace)).remove(0);
        assert_eq!(state_of(&first.id), (ScheduleRunState::Running, true));
        assert_eq!(state_of(&queued.id), (ScheduleRunState::Cancelled, false));
        assert_eq!(state_of(&replacing.id), (ScheduleRunState::Queued, false));
        let was = catalog.cancel_schedule_run(&replacing.id, "no").unwrap();
        assert_eq!(was, Some(ScheduleRunState::Queued));
        assert_eq!(catalog.cancel_schedule_run("none", "no").unwrap(), None);
        for at in 0..=i64::try_from(SCHEDULE_QUEUE_MAX).unwrap() {
            claim(&catalog, id, 100 + at, Some(Overlap::Queue));
        }
        let open = catalog.open_schedule_runs().unwrap();
        assert_eq!(open.len(), SCHEDULE_QUEUE_MAX + 1);
    }
}

#[test]
fn files_that_change_are_noted_once() {
    for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create("s", CreateMode::Create)]).unwrap();
        let id = id_of(&catalog, "s");
        let change = |at: i64| ScheduleRun { trigger: Trigger::Change, ..run(id, at, 1) };
        assert!(catalog.note_table_files(id, None, "a", Some(&change(1)), 10).unwrap());
        assert!(!catalog.note_table_files(id, None, "a", Some(&change(2)), 10).unwrap(), "another server was first");
        // What waits will see what has changed since.
        assert!(catalog.note_table_files(id, Some("a"), "b", Some(&change(3)), 10).unwrap());
        let open = catalog.open_schedule_runs().unwrap();
        assert_eq!(open.len(), 1);
        catalog.start_schedule_run(&open[0].id, 4).unwrap().unwrap();
        // What has begun may not.
        assert!(catalog.note_table_files(id, Some("b"), "c", Some(&change(1)), 10).unwrap());
        assert_eq!(catalog.open_schedule_runs().unwrap().len(), 2);
    }
}

#[test]
fn runs_of_dead_processes_are_found() {
    let place = Place::file();
    {
        let catalog = place.open();
        catalog.commit(vec![create("s", CreateMode::Create)]).unwrap();
        let first = claim(&catalog, id_of(&catalog, "s"), 10, None).remove(0);
        catalog.start_schedule_run(&first.id, 11).unwrap().unwrap();
        assert_eq!(catalog.dead_schedule_runs(&HashSet::from([first.id])).unwrap(), []);
    }
    assert_eq!(place.open().dead_schedule_runs(&HashSet::new()).unwrap().len(), 1);

    let Some(place) = Place::postgres() else { return };
    let (one, other) = (place.open(), place.open());
    one.commit(vec![create("s", CreateMode::Create)]).unwrap();
    let id = id_of(&one, "s");
    let first = claim(&one, id, 10, None).remove(0);
    one.start_schedule_run(&first.id, 11).unwrap().unwrap();
    assert_eq!(other.dead_schedule_runs(&HashSet::new()).unwrap(), [], "the other lives");
    drop(one);
    let dead = other.dead_schedule_runs(&HashSet::new()).unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(end(&other, &dead[0], ScheduleRunState::Interrupted), Some(1));
    assert_eq!(other.dead_schedule_runs(&HashSet::new()).unwrap(), []);
}

/// Two servers on one PostgreSQL ask for the same times at the same moment.
#[test]
fn two_servers_claim_and_start_each_time_once() {
    let Some(place) = Place::postgres() else { return };
    let servers = [place.open(), place.open()];
    servers[0].commit(vec![create("s", CreateMode::Create)]).unwrap();
    let id = id_of(&servers[0], "s");
    let won: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = servers
            .iter()
            .map(|catalog| {
                scope.spawn(move || {
                    let (mut claimed, mut started) = (0, 0);
                    for at in 1..=40 {
                        claimed += claim(catalog, id, at, None).len();
                        for run in catalog.open_schedule_runs().unwrap() {
                            if let Some(run) = catalog.start_schedule_run(&run.id, at).unwrap() {
                                started += 1;
                                assert!(end(catalog, &run, ScheduleRunState::Succeeded).is_some());
                            }
                        }
                    }
                    (claimed, started)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let claimed: usize = won.iter().map(|(claimed, _)| claimed).sum();
    let mut runs = servers[0].schedule_runs().unwrap();
    // The last ones may have been passed by while the other's went on.
    for run in runs.iter().filter(|run| run.state == ScheduleRunState::Queued) {
        let run = servers[1].start_schedule_run(&run.id, 50).unwrap().unwrap();
        end(&servers[1], &run, ScheduleRunState::Succeeded);
    }
    runs.sort_by_key(|run| run.scheduled_at_ms);
    let times: Vec<i64> = runs.iter().map(|run| run.scheduled_at_ms).collect();
    assert_eq!(claimed, times.len());
    let distinct: HashSet<i64> = times.iter().copied().collect();
    assert_eq!(distinct.len(), times.len());
    assert!(times.contains(&40));
}
