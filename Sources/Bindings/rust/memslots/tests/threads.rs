//! What may cross threads, and that it can.

use memslots::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

const fn is_send_and_sync<T: Send + Sync>() {}

const fn is_send<T: Send>() {}

const _: () = {
    is_send::<Hook>();
    is_send_and_sync::<Table>();
    is_send_and_sync::<Memory>();
    is_send_and_sync::<Slot>();
    is_send_and_sync::<Region>();
    is_send_and_sync::<Array>();
    is_send_and_sync::<Receipt>();
    is_send_and_sync::<DirtyLog>();
    is_send_and_sync::<Reader>();
    is_send_and_sync::<Vcpu>();
    is_send_and_sync::<Kicker>();
    is_send_and_sync::<HookHandle>();
    is_send_and_sync::<Observation>();
    is_send_and_sync::<Simulator<'_>>();
    is_send_and_sync::<Error>();
    #[cfg(feature = "vm-memory")]
    is_send_and_sync::<Published>();
};

/// Compiles only if the type implements neither: otherwise the parameter is ambiguous.
macro_rules! is_neither_send_nor_sync {
    ($kind:ty) => {
        const _: () = {
            trait Ambiguous<A> {
                const OK: () = ();
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct IsSend;
            impl<T: ?Sized + Send> Ambiguous<IsSend> for T {}
            struct IsSync;
            impl<T: ?Sized + Sync> Ambiguous<IsSync> for T {}
            <$kind as Ambiguous<_>>::OK
        };
    };
}

is_neither_send_nor_sync!(View<'static>);
is_neither_send_nor_sync!(Span<'static>);

#[test]
fn threads_submit_read_and_observe_one_table() -> Result<()> {
    let table = Table::simulated(&SimulatorOptions::default())?;
    let ram = Slot::new(GuestAddress(0), &Memory::anonymous(64 * 4096)?);
    let halves = ram.split_at(GuestAddress(32 * 4096))?;
    let layouts = [vec![ram], vec![halves.0, halves.1]];
    table.submit(&layouts[0])?;
    let stop = Arc::new(AtomicBool::new(false));
    let start = Arc::new(Barrier::new(5));
    let mut devices = Vec::new();
    for _ in 0..2 {
        let (table, stop, start) = (table.clone(), stop.clone(), start.clone());
        devices.push(std::thread::spawn(move || -> Result<u64> {
            let mut reader = table.reader("device")?;
            start.wait();
            let mut reads = 0;
            while !stop.load(Ordering::Relaxed) || reads == 0 {
                let mut bytes = [0; 4096];
                reader.enter()?.read(GuestAddress(32 * 4096 - 100), &mut bytes)?;
                reads += 1;
            }
            Ok(reads)
        }));
    }
    let mut submitters = Vec::new();
    for _ in 0..2 {
        let (table, layouts, start) = (table.clone(), layouts.clone(), start.clone());
        submitters.push(std::thread::spawn(move || -> Result<()> {
            start.wait();
            for turn in 0..200 {
                table.submit(&layouts[turn % 2])?;
                let array = table.array()?;
                assert!(array.slots.len() == 1 || array.slots.len() == 2);
            }
            Ok(())
        }));
    }
    start.wait();
    for submitter in submitters {
        submitter.join().expect("no panic")?;
    }
    stop.store(true, Ordering::Relaxed);
    for device in devices {
        assert!(device.join().expect("no panic")? > 0);
    }
    Ok(())
}
