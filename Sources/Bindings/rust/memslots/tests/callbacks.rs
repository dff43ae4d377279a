//! Closures behind the C interface: order, vetoes, panics, reentrancy.

use memslots::*;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

fn table() -> Table {
    Table::simulated(&SimulatorOptions::default()).expect("a simulated table")
}

fn slot(address: u64) -> Slot {
    Slot::new(GuestAddress(address), &Memory::anonymous(4096).expect("memory"))
}

type Log = Arc<Mutex<Vec<String>>>;

fn recording(log: &Log) -> Hook {
    let writer = |step: &'static str| {
        let log = log.clone();
        move |change: &Change| {
            let id = change.after.or(change.before).map_or(99, |slot| slot.id);
            log.lock().expect("a log").push(format!("{step} {:?} {id}", change.kind));
        }
    };
    let prepare = writer("prepare");
    Hook::new("recorder")
        .prepare(move |change| {
            prepare(change);
            Ok::<(), String>(())
        })
        .commit(writer("commit"))
        .finish(writer("finish"))
        .abort(writer("abort"))
}

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().expect("a log"))
}

#[test]
fn a_hook_sees_each_step_of_each_change_until_it_is_dropped() -> Result<()> {
    let (table, log) = (table(), Log::default());
    let added = table.add_hook(recording(&log))?;
    let slots = table.submit(&[slot(0), slot(4096)])?.slots;
    let steps = [
        "prepare Added 0",
        "prepare Added 1",
        "commit Added 0",
        "commit Added 1",
        "finish Added 0",
        "finish Added 1",
    ];
    assert_eq!(taken(&log), steps);

    table.simulator().expect("simulated").fail(0, libc::ENOMEM, 1)?;
    table.submit(&[slots[0].clone().logging(true), slots[1].clone()]).unwrap_err();
    assert_eq!(taken(&log), ["prepare Reflagged 0", "abort Reflagged 0"]);

    drop(added);
    table.submit(&[])?;
    assert_eq!((taken(&log).len(), Arc::strong_count(&log)), (0, 1));
    Ok(())
}

#[test]
fn a_veto_and_a_panic_in_prepare_refuse_the_transaction() -> Result<()> {
    let table = table();
    let hook = table.add_hook(Hook::new("vfio").prepare(|_| Err("no room in the IOMMU")))?;
    match table.submit(&[slot(0)]).unwrap_err() {
        Error::Rejected { message } => {
            assert!(message.contains("no room in the IOMMU"), "{message}")
        }
        other => panic!("{other}"),
    }
    drop(hook);
    let _hook = table.add_hook(
        Hook::new("vfio")
            .prepare(|_| -> std::result::Result<(), String> { panic!("out of luck {}", 7) }),
    )?;
    match table.submit(&[slot(0)]).unwrap_err() {
        Error::Rejected { message } => {
            assert!(message.contains("the hook panicked: out of luck 7"), "{message}")
        }
        other => panic!("{other}"),
    }
    assert_eq!(table.array()?.generation, 0);
    Ok(())
}

#[test]
fn a_long_reason_is_cut_and_a_zero_byte_left_out() -> Result<()> {
    let table = table();
    let reason = format!("a\0b{}", "é".repeat(1000));
    let _hook = table.add_hook(Hook::new("ve\0to").prepare(move |_| Err(reason.clone())))?;
    let error = table.submit(&[slot(0)]).unwrap_err();
    assert!(error.message().contains("abéé") && error.message().contains("veto"), "{error}");
    Ok(())
}

#[test]
fn a_panic_in_a_later_step_goes_on_in_the_submit_that_has_committed() -> Result<()> {
    let (table, log) = (table(), Log::default());
    let panics = table.add_hook(Hook::new("panics").commit(|_| panic!("in commit")))?;
    let _recorder = table.add_hook(recording(&log))?;
    // A call of another table in between neither gets the panic nor loses it.
    let other = self::table();
    let nested = table.add_hook(Hook::new("nested").commit(move |_| {
        other.submit(&[slot(0)]).expect("a submit of its own");
    }))?;
    let panic = catch_unwind(AssertUnwindSafe(|| table.submit(&[slot(0)]))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"in commit"));
    assert_eq!(taken(&log).last().map(String::as_str), Some("finish Added 0"));
    assert_eq!(table.array()?.generation, 1);

    drop((panics, nested));
    let _observer = table.observe(|_| panic!("in the observer"))?;
    let panic = catch_unwind(AssertUnwindSafe(|| table.submit(&[]))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"in the observer"));
    assert_eq!(table.array()?.slots.len(), 0);
    Ok(())
}

#[test]
fn a_callback_may_read_and_use_another_table_and_not_submit() -> Result<()> {
    let (table, other) = (table(), table());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let (table, other, seen) = (table.clone(), other.clone(), seen.clone());
        Hook::new("nested").prepare(move |_| {
            let mut seen = seen.lock().expect("a list");
            seen.push(table.array()?.slots.len());
            let refused = table.submit(&[]).unwrap_err();
            assert!(matches!(refused, Error::Reentrant { .. }), "{refused}");
            let refused = table.recover().unwrap_err();
            assert!(matches!(refused, Error::Reentrant { .. }), "{refused}");
            seen.push(other.submit(&[slot(0)])?.generation as usize);
            Ok::<(), Error>(())
        })
    };
    let hook = table.add_hook(hook)?;
    table.submit(&[slot(0)])?;
    assert_eq!(*seen.lock().expect("a list"), [0, 1]);
    drop(hook);

    let mut reader = table.reader("device")?;
    let view = reader.enter()?;
    assert!(matches!(table.submit(&[]), Err(Error::Reentrant { .. })));
    drop(view);
    assert_eq!(table.array()?.slots.len(), 1);
    Ok(())
}

#[test]
fn an_observer_gets_every_event_in_order() -> Result<()> {
    let table = table();
    table.submit(&[slot(0)])?;
    let events = Arc::new(Mutex::new(Vec::new()));
    let list = events.clone();
    let observation = table.observe(move |event| list.lock().expect("a list").push(*event))?;
    assert_eq!(observation.generation(), 1);
    let simulator = table.simulator().expect("simulated");
    simulator.fail(0, libc::ENOMEM, 1)?;
    table.submit(&[]).unwrap_err();
    table.submit(&[])?;
    drop(observation);
    table.submit(&[slot(0)])?;
    assert_eq!(
        *events.lock().expect("a list"),
        [
            TableEvent::RolledBack { errno: libc::ENOMEM, generation: 1 },
            TableEvent::Committed { previous: 1, generation: 2 },
        ]
    );
    assert_eq!(Arc::strong_count(&events), 1);
    Ok(())
}

#[test]
fn guarded_code_returns_its_value_and_its_panic() -> Result<()> {
    let table = table();
    let text = String::from("borrowed");
    assert_eq!(table.guarded("ioctl", || text.len())?, 8);
    let refused = table.guarded("ioctl", || table.submit(&[]))?;
    assert!(matches!(refused, Err(Error::Reentrant { .. })));
    let body = || -> u32 { panic!("in the body") };
    let panic = catch_unwind(AssertUnwindSafe(|| table.guarded("ioctl", body))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"in the body"));
    // The gate is open again.
    table.submit_with(&[slot(0)], &SubmitOptions { always_quiesce: true, ..Default::default() })?;
    let both = SubmitOptions { always_quiesce: true, continuity: true, ..Default::default() };
    assert!(table.submit_with(&[], &both).is_err());
    Ok(())
}
