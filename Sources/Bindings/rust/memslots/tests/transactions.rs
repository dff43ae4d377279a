//! Transactions, errors and readers, on the simulator.

use memslots::*;
use std::num::NonZeroU32;
use std::time::Duration;

const PAGE: u64 = 4096;

fn table() -> Table {
    Table::simulated(&SimulatorOptions::default()).expect("a simulated table")
}

fn ram(pages: u64) -> Slot {
    let memory = Memory::anonymous((pages * PAGE) as usize).expect("memory");
    Slot::new(GuestAddress(0), &memory)
}

#[test]
fn a_receipt_describes_the_transaction() -> Result<()> {
    let table = table();
    let first = table.submit(&[ram(16)])?;
    assert_eq!((first.generation, first.outcome, first.added), (1, Outcome::Committed, 1));
    assert_eq!(first.slots[0].id(), Some(0));
    assert!(!first.quiesced && first.retired && first.is_optimal && first.readers.is_empty());

    let (low, high) = first.slots[0].split_at(GuestAddress(4 * PAGE))?;
    let plan = table.plan(&[low.clone(), high.clone()])?;
    let split = table.submit(&[low, high])?;
    assert_eq!(plan.operations, split.operations);
    let calls: Vec<_> = split.operations.iter().map(|one| one.call).collect();
    assert_eq!(calls, [Call::Delete, Call::Create, Call::Create]);
    assert_eq!(split.operations[0].before.map(|slot| slot.size), Some(16 * PAGE));
    assert_eq!(split.operations[0].after, None);
    assert_eq!((first.hold_reason, split.hold_reason.as_deref()), (None, Some("overlap")));
    assert!(split.quiesced && split.to_string().starts_with("delete 0, create 0, create 1; guest"));

    let again = table.submit(&split.slots)?;
    assert_eq!((again.outcome, again.generation), (Outcome::Unchanged, 2));
    assert_eq!(again.to_string(), "unchanged");
    Ok(())
}

#[test]
fn an_array_comes_back_with_its_memory_and_can_be_submitted() -> Result<()> {
    let table = table();
    let object = NonZeroU32::new(7).expect("not 0");
    let memory = Memory::anonymous(8 * PAGE as usize)?;
    memory.write(5 * PAGE as usize, b"here")?;
    let part = Slot::part(GuestAddress(0x10_0000), &memory, 4 * PAGE..8 * PAGE)?
        .with_id(9)
        .with_memory_object(object, 0x4000)
        .logging(true);
    table.submit(&[part, ram(1).moved_to(GuestAddress(0x20_0000)).read_only(true)])?;

    let array = table.array()?;
    assert_eq!(array.generation, 1);
    let (low, nine) = (&array.slots[0], &array.slots[1]);
    assert_eq!((low.id(), low.flags()), (Some(0), Flags::READ_ONLY));
    assert_eq!((nine.id(), nine.offset(), nine.size()), (Some(9), 4 * PAGE, 4 * PAGE));
    assert_eq!((nine.memory().as_ptr(), nine.flags()), (memory.as_ptr(), Flags::LOG_DIRTY_PAGES));
    assert_eq!(table.submit(&array.slots)?.outcome, Outcome::Unchanged);

    let installed = table.simulator().expect("simulated").installed()?;
    assert_eq!(installed.len(), 2);
    assert_eq!(
        installed[1].memory_object.map(|(object, offset)| (object.get(), offset)),
        Some((7, 0x4000))
    );
    assert_eq!(installed[1].guest_range(), 0x10_0000..0x10_4000);
    Ok(())
}

#[test]
fn every_violation_is_listed() -> Result<()> {
    let table = table();
    let slots = [ram(4).with_id(1), ram(4).with_id(1), ram(4).moved_to(GuestAddress(12))];
    let error = table.submit(&slots).unwrap_err();
    let violations = match &error {
        Error::InvalidArray { violations, .. } => violations,
        other => panic!("{other}"),
    };
    let kinds: Vec<_> = violations.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["duplicate-slot", "overlap", "misaligned-address", "overlap"],
        "{violations:#?}"
    );
    assert_eq!(violations[0].other_index, Some(0));
    assert_eq!((violations[1].index, violations[1].slot), (Some(1), Some(1)));
    assert_eq!((violations[2].slot, violations[2].errno), (None, Some(libc::EINVAL)));
    assert_eq!(violations[2].path, "slots[2].guest_address");
    assert_eq!((error.name(), error.code()), ("invalid-array", -1));
    assert_eq!(table.array()?.slots.len(), 0);
    Ok(())
}

#[test]
fn errors_have_their_data() -> Result<()> {
    let table = table();
    let simulator = table.simulator().expect("simulated");
    let whole = table.submit(&[ram(4)])?.slots;
    let (low, high) = whole[0].split_at(GuestAddress(PAGE))?;

    simulator.fail(1, libc::ENOMEM, 1)?;
    let error = table.submit(&[low.clone(), high.clone()]).unwrap_err();
    assert!(matches!(error, Error::RolledBack { errno: libc::ENOMEM, .. }), "{error}");
    assert_eq!((error.errno(), table.array()?.generation), (Some(libc::ENOMEM), 1));

    // The second operation fails, and the first of the undo.
    simulator.fail(1, libc::ENOMEM, 1)?;
    simulator.fail(2, libc::EIO, 1)?;
    let error = table.submit(&[low.clone(), high.clone()]).unwrap_err();
    assert!(matches!(error, Error::Failed { errno: libc::ENOMEM, .. }), "{error}");
    assert_eq!(table.failure()?.map(|slots| slots.len()), Some(0));
    simulator.clear_faults()?;
    table.recover()?;
    assert_eq!((table.failure()?, table.array()?.slots.len()), (None, 1));

    let options = SubmitOptions { expected_generation: Some(7), ..SubmitOptions::default() };
    let error = table.submit_with(&[low, high], &options).unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    assert_eq!(error.to_string(), format!("generation-conflict: {}", error.message()));

    assert!(matches!(table.dirty_log(0, 0, 0..4, false), Err(Error::NoSuchSlot { .. })));
    assert!(matches!(table.dirty_log(0, 5, 0..4, false), Err(Error::NoSuchSlot { .. })));
    let error = table.translate(0, GuestAddress(4 * PAGE)).unwrap_err();
    assert!(matches!(error, Error::NotMapped { address: Some(0x4000), .. }), "{error:?}");
    let options = SimulatorOptions { max_slots: Some(u32::MAX), ..SimulatorOptions::default() };
    assert!(matches!(Table::simulated(&options), Err(Error::BadArgument { .. })));
    let vcpu = table.vcpu(&0, &VcpuOptions::default()).err();
    assert!(matches!(vcpu, Some(Error::NotSupported { .. })));
    assert!(matches!(
        table.vcpu(&-1, &VcpuOptions::default()),
        Err(Error::System { errno: libc::EBADF, .. })
    ));
    Ok(())
}

#[test]
fn dirty_bits_follow_their_pages() -> Result<()> {
    let table = table();
    let simulator = table.simulator().expect("simulated");
    let logged = table.submit(&[ram(200).logging(true)])?.slots.remove(0);
    simulator.touch(0, GuestAddress(3 * PAGE), PAGE)?;
    simulator.touch(0, GuestAddress(130 * PAGE), 2 * PAGE)?;
    let log = table.dirty_log(0, 0, 0..200, false)?;
    assert_eq!((log.count(), log.words().len()), (3, 4));
    assert_eq!(log.pages().collect::<Vec<_>>(), [3, 130, 131]);

    let (low, high) = logged.split_at(GuestAddress(64 * PAGE))?;
    let halves = table.submit(&[low, high.logging(false)])?;
    let run = halves.unmapped_dirty_runs[0];
    assert_eq!((run.first_page, run.page_count, run.slot.id), (130, 2, 0));
    assert_eq!(table.dirty_log(0, 0, 0..64, true)?.pages().collect::<Vec<_>>(), [3]);
    assert_eq!(table.dirty_log(0, 0, 0..64, true)?.count(), 0);
    assert_eq!(table.dirty_log(0, 0, 0..0, true)?.words().len(), 0);
    assert!(matches!(table.dirty_log(0, 0, 1..64, true), Err(Error::BadArgument { .. })));
    assert!(matches!(table.dirty_log(0, 0, 0..u64::MAX, true), Err(Error::BadArgument { .. })));
    Ok(())
}

#[test]
fn a_view_reads_and_writes_across_slots() -> Result<()> {
    let table = table();
    let (low, high) = ram(4).split_at(GuestAddress(2 * PAGE))?;
    let rom = ram(1).moved_to(GuestAddress(16 * PAGE)).read_only(true);
    table.submit(&[low, high, rom])?;
    let mut reader = table.reader("device")?;
    let mut view = reader.enter()?;
    assert_eq!(view.generation(), 1);

    let across = GuestAddress(2 * PAGE - 3);
    view.write(across, b"splits")?;
    let mut bytes = [0; 6];
    view.read(across, &mut bytes)?;
    assert_eq!(&bytes, b"splits");

    let chain = [
        GuestRange { address: across, size: 6 },
        GuestRange { address: GuestAddress(16 * PAGE), size: PAGE },
    ];
    let spans = view.translate_all(&chain)?;
    let lengths: Vec<_> = spans.iter().map(|span| (span.slot(), span.len())).collect();
    assert_eq!(lengths, [(0, 3), (1, 3), (2, 4096)]);
    assert!(matches!(spans[2].write(0, b"x"), Err(Error::ReadOnly { .. })));
    assert!(matches!(spans[1].read(2, &mut [0; 2]), Err(Error::BadArgument { .. })));

    let hole = GuestRange { address: GuestAddress(3 * PAGE), size: 2 * PAGE };
    let error = view.translate_all(&[chain[0], hole]).unwrap_err();
    assert!(matches!(error, Error::NotMapped { address: Some(0x4000), range: 1, .. }), "{error:?}");
    view.set_address_space(1);
    assert!(view.translate(GuestAddress(0), 1).is_err());
    Ok(())
}

#[test]
fn a_reader_that_stays_is_named_and_its_memory_stays_too() -> Result<()> {
    let table = table();
    table.submit(&[ram(4)])?;
    let mut reader = table.reader("slow device")?;
    let mut view = reader.enter()?;
    let options = SubmitOptions {
        quiesce_deadline: Some(Duration::from_millis(20)),
        ..SubmitOptions::default()
    };
    let other = table.clone();
    let receipt = std::thread::spawn(move || other.submit_with(&[], &options));
    let receipt = receipt.join().expect("no panic")?;
    assert_eq!((receipt.retired, &receipt.readers[..]), (false, &["slow device".to_owned()][..]));
    // The memory has no other owner than the table: it would be unmapped.
    view.write(GuestAddress(PAGE), b"still there")?;
    Ok(())
}

#[test]
fn private_ranges_change_with_the_slots() -> Result<()> {
    let table = table();
    assert!(table.capabilities()?.memory_attributes);
    let page = |number| GuestRange { address: GuestAddress(number * PAGE), size: PAGE };
    let private = |ranges: &[GuestRange]| SubmitOptions {
        private_ranges: Some(ranges.to_vec()),
        ..SubmitOptions::default()
    };
    table.submit_with(&[ram(4)], &private(&[page(2), page(1)]))?;
    assert_eq!(table.private_ranges()?, [GuestRange { size: 2 * PAGE, ..page(1) }]);
    table.submit_with(&[], &SubmitOptions::default())?;
    assert_eq!(table.private_ranges()?.len(), 1);
    let error = table.submit_with(&[], &private(&[page(1), page(1)])).unwrap_err();
    assert!(matches!(error, Error::InvalidArray { .. }), "{error}");
    table.submit_with(&[], &private(&[]))?;
    assert!(table.private_ranges()?.is_empty());
    Ok(())
}

fn file(bytes: u64) -> std::fs::File {
    use std::os::unix::io::FromRawFd;
    // SAFETY: the name ends in a zero byte, and the kernel has just created the descriptor.
    let file =
        unsafe { std::fs::File::from_raw_fd(libc::memfd_create("ram\0".as_ptr().cast(), 0)) };
    file.set_len(bytes).expect("a length");
    file
}

#[test]
fn memory_has_whole_pages_that_its_file_has() -> Result<()> {
    let file = file(2 * PAGE);
    let page = PAGE as usize;
    let shared = Memory::shared(&file, PAGE, page)?;
    shared.write(page - 1, &[7])?;
    assert_eq!(shared.file().expect("a file").1, PAGE);
    assert!(Memory::anonymous(page)?.file().is_none());
    for (offset, len) in
        [(0, 3 * page), (PAGE, 2 * page), (2 * PAGE, page), (u64::MAX - 4095, page)]
    {
        let error = Memory::shared(&file, offset, len).map(drop).unwrap_err();
        assert!(matches!(error, Error::BadArgument { .. }), "{offset} {len}: {error:?}");
    }
    for error in [
        Memory::shared(&file, 0, 100).map(drop).unwrap_err(),
        Memory::anonymous(100).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::BadArgument { .. }), "{error:?}");
    }
    Ok(())
}

#[test]
fn a_zero_does_not_pass_for_a_default() {
    let default = SimulatorOptions::default;
    for options in [
        SimulatorOptions { max_slots: Some(0), ..default() },
        SimulatorOptions { address_spaces: Some(0), ..default() },
        SimulatorOptions { guest_physical_bits: Some(0), ..default() },
        SimulatorOptions { flags: Some(Flags::empty()), ..default() },
    ] {
        let error = Table::simulated(&options).map(drop).unwrap_err();
        assert!(matches!(error, Error::BadArgument { .. }), "{options:?}: {error:?}");
        assert!(error.message().contains("is 0"), "{error}");
    }
}

#[test]
fn errors_speak_of_this_crate_and_become_errors_of_io() -> Result<()> {
    let table = table();
    let error = table.submit(&[ram(1).moved_to(GuestAddress(1))]).unwrap_err();
    match &error {
        Error::InvalidArray { violations, .. } => {
            assert_eq!(violations[0].path, "slots[0].guest_address")
        }
        other => panic!("{other:?}"),
    }
    let invalid = std::io::Error::from(error.clone());
    assert_eq!(invalid.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(invalid.get_ref().and_then(|source| source.downcast_ref()), Some(&error));
    table.simulator().expect("simulated").fail(0, libc::EINTR, 1)?;
    let undone = std::io::Error::from(table.submit(&[ram(1)]).unwrap_err());
    assert_eq!(undone.kind(), std::io::ErrorKind::Interrupted);

    let error = table.vcpu(&file(4096), &VcpuOptions::default()).map(drop).unwrap_err();
    assert!(matches!(error, Error::NotSupported { .. }), "{error:?}");
    assert!(!error.message().contains("memslots_"), "{error}");
    let mut reader = table.reader("device")?;
    std::mem::forget(reader.enter()?);
    let twice = reader.enter().map(drop).unwrap_err();
    assert!(twice.message().contains("is inside"), "{twice}");
    Ok(())
}

#[test]
fn the_raw_handle_is_that_of_the_table() -> Result<()> {
    let table = table();
    table.submit(&[ram(1)])?;
    let (mut count, mut generation) = (0, 0);
    // SAFETY: no list, and a capacity of 0.
    let code = unsafe {
        sys::memslots_get(table.as_raw(), std::ptr::null_mut(), 0, &mut count, &mut generation)
    };
    assert_eq!((code, count, generation), (sys::MEMSLOTS_TOO_SMALL, 1, 1));
    Ok(())
}
