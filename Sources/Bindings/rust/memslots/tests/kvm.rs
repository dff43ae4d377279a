//! A real VM and a guest that counts while its memory changes. `/dev/kvm` is opened through `libc`:
//! the crate takes any descriptor.
//!
//! Ignored unless asked for, because a test can't skip itself: `cargo test -- --include-ignored`.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use memslots::*;
use std::fs::File;
use std::os::unix::io::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc;
use std::time::Duration;

const PAGE: usize = 4096;
const CODE: usize = 0x1000;
const ROUNDS: usize = 0x2000;
const RAM: u64 = 0x4000_0000;
const PAGES: usize = 16;

/// Adds one to a number in each page of the RAM, and counts the rounds.
const PROGRAM: [u8; 19] = [
    0x31, 0xff, // again: xor di, di
    0x66, 0xff, 0x05, // next: inc dword [di]
    0x81, 0xc7, 0x00, 0x10, // add di, 0x1000
    0x75, 0xf7, // jnz next
    0x2e, 0x66, 0xff, 0x06, 0x00, 0x20, // inc dword cs:[ROUNDS]
    0xeb, 0xed, // jmp again
];

fn ioctl(descriptor: &impl AsRawFd, request: u64, argument: usize) -> i32 {
    // SAFETY: the callers pass what each request expects.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), request as _, argument) };
    assert!(result >= 0, "ioctl {request:#x}: {}", std::io::Error::last_os_error());
    result
}

fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: the kernel has just created it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// A VM as any VMM creates it: `/dev/kvm`, and the VM.
fn machine() -> (File, OwnedFd) {
    let kvm = File::options().read(true).write(true).open("/dev/kvm").expect("/dev/kvm");
    let vm = owned(ioctl(&kvm, 0xae01, 0));
    let identity_map = 0xfeff_c000_u64;
    ioctl(&vm, 0x4008_ae48, &identity_map as *const _ as usize);
    ioctl(&vm, 0xae47, 0xfeff_d000);
    (kvm, vm)
}

/// A vCPU that begins with the program.
fn vcpu(vm: &OwnedFd) -> OwnedFd {
    let vcpu = owned(ioctl(vm, 0xae41, 0));
    // struct kvm_sregs begins with cs and ds: base, limit, selector, and ten bytes of attributes.
    let mut system = [0u64; 39];
    ioctl(&vcpu, 0x8138_ae83, system.as_mut_ptr() as usize);
    system[0] = 0;
    system[1] &= !0xffff_0000_0000;
    system[3] = RAM;
    system[4] |= 0xffff_ffff;
    ioctl(&vcpu, 0x4138_ae84, system.as_ptr() as usize);
    // struct kvm_regs ends with rip and rflags.
    let mut registers = [0u64; 18];
    (registers[16], registers[17]) = (CODE as u64, 2);
    ioctl(&vcpu, 0x4090_ae82, registers.as_ptr() as usize);
    vcpu
}

fn number(memory: &Memory, offset: usize) -> u32 {
    let mut bytes = [0; 4];
    memory.read(offset, &mut bytes).expect("inside");
    u32::from_ne_bytes(bytes)
}

#[test]
#[ignore = "needs /dev/kvm"]
fn a_guest_misses_nothing_while_its_memory_is_split_and_merged() -> Result<()> {
    let (kvm, vm) = machine();
    let table = Table::open_kvm(&vm, &kvm, &KvmOptions::default())?;
    let (low, ram) = (Memory::anonymous(PAGES * PAGE)?, Memory::anonymous(PAGES * PAGE)?);
    low.write(CODE, &PROGRAM)?;
    let boot = [Slot::new(GuestAddress(0), &low), Slot::new(GuestAddress(RAM), &ram)];
    let slots = table.submit(&boot)?.slots;

    let mut vcpu = table.vcpu(&vcpu(&vm), &VcpuOptions::default())?;
    assert!(matches!(
        table.vcpu(&vm, &VcpuOptions::default()),
        Err(Error::System { .. } | Error::BadArgument { .. })
    ));
    let kicker = vcpu.kicker();
    let (end, ended) = mpsc::channel();
    let guest = std::thread::spawn(move || -> Result<(Exit, u32)> {
        // As in a VMM that blocks signals in its threads: `run` unblocks the one it needs.
        // SAFETY: the set is filled before it is used.
        unsafe {
            let mut signals = std::mem::zeroed();
            libc::sigfillset(&mut signals);
            libc::pthread_sigmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut());
        }
        loop {
            let turn = vcpu.run()?;
            if turn.kicked || turn.exit == Exit::Guest {
                // SAFETY: `exit_reason` is at offset 8 of struct kvm_run.
                let reason = unsafe { *vcpu.kvm_run().cast::<u32>().add(2) };
                end.send(()).expect("a waiting test");
                return Ok((turn.exit, reason));
            }
        }
    });

    let (below, above) = slots[1].split_at(GuestAddress(RAM + 8 * PAGE as u64))?;
    let mut reader = table.reader("device")?;
    for turn in 0..200 {
        let receipt = if turn % 2 == 0 {
            table.submit(&[slots[0].clone(), below.clone(), above.clone()])?
        } else {
            table.submit(&slots)?
        };
        assert!(receipt.quiesced && receipt.retired, "{receipt}");
        let before = number(&low, ROUNDS);
        while number(&low, ROUNDS) == before {
            assert!(ended.try_recv().is_err(), "the guest left");
            std::thread::yield_now();
        }
        let mut bytes = [0; 8];
        reader.enter()?.read(GuestAddress(RAM + 8 * PAGE as u64 - 4), &mut bytes)?;
        assert_ne!(bytes[4..], [0; 4]);
    }
    kicker.kick()?;
    ended.recv_timeout(Duration::from_secs(10)).expect("the guest leaves");
    let (exit, reason) = guest.join().expect("no panic")?;
    assert_eq!(exit, Exit::Interrupted, "exit reason {reason}");
    let rounds = number(&low, ROUNDS);
    for page in 0..PAGES {
        let counted = number(&ram, page * PAGE);
        // The guest may have been stopped in the middle of a round.
        assert!(counted == rounds || counted == rounds + 1, "page {page}: {counted} of {rounds}");
    }
    Ok(())
}

#[test]
#[ignore = "needs /dev/kvm"]
fn dirty_bits_and_adopted_slots() -> Result<()> {
    let (kvm, vm) = machine();
    let memory = Memory::anonymous(PAGES * PAGE)?;
    let slot = Slot::new(GuestAddress(0), &memory).with_id(3);
    // struct kvm_userspace_memory_region: slot and flags, address, size, userspace address.
    let region = [3, 0, memory.len() as u64, memory.as_ptr() as u64];
    ioctl(&vm, 0x4020_ae46, region.as_ptr() as usize);
    let wrong = KvmOptions { installed: vec![slot.clone().with_id(4)], ..KvmOptions::default() };
    assert!(Table::open_kvm(&vm, &kvm, &wrong).is_err());
    // An ordinary VM has no private memory, so it can't be said to have some.
    let page = GuestRange { address: GuestAddress(0), size: PAGE as u64 };
    let wrong = KvmOptions {
        installed: vec![slot.clone()],
        private_ranges: vec![page],
        ..KvmOptions::default()
    };
    assert!(matches!(Table::open_kvm(&vm, &kvm, &wrong), Err(Error::InvalidArray { .. })));
    let options = KvmOptions { installed: vec![slot], ..KvmOptions::default() };
    let table = Table::open_kvm(&vm, &kvm, &options)?;
    assert_eq!(table.array()?.slots[0].id(), Some(3));
    assert!(table.capabilities()?.max_slots > 500);
    assert!(table.simulator().is_none());

    memory.write(CODE, &PROGRAM)?;
    let ram = Memory::anonymous(PAGES * PAGE)?;
    let logged = Slot::new(GuestAddress(RAM), &ram).logging(true);
    let slots = table.submit(&[table.array()?.slots[0].clone(), logged])?.slots;
    let mut vcpu = table.vcpu(&vcpu(&vm), &VcpuOptions::default())?;
    let kicker = vcpu.kicker();
    let stopper = std::thread::spawn(move || {
        while number(&memory, ROUNDS) == 0 {
            std::thread::yield_now();
        }
        kicker.kick()
    });
    while !vcpu.run()?.kicked {}
    stopper.join().expect("no panic")?;
    let id = slots[1].id().expect("an id");
    assert_eq!(table.dirty_log(0, id, 0..PAGES as u64, true)?.count(), PAGES as u64);
    Ok(())
}

#[test]
#[ignore = "needs /dev/kvm"]
fn what_is_no_vcpu_and_a_ring_that_is_not_there_are_refused() -> Result<()> {
    let (kvm, vm) = machine();
    let refused = |result: Result<()>, what: &str| match result {
        Err(Error::BadArgument { message }) => message,
        other => panic!("{what}: {other:?}"),
    };
    let table = Table::open_kvm(&vm, &kvm, &KvmOptions::default())?;
    // SAFETY: the name ends in a zero byte.
    let file = owned(unsafe { libc::memfd_create("page\0".as_ptr().cast(), 0) });
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::ftruncate(file.as_raw_fd(), PAGE as i64) }, 0);
    let options = VcpuOptions::default();
    refused(table.vcpu(&file, &options).map(drop), "a file");
    let (first, second) = (vcpu(&vm), owned(ioctl(&vm, 0xae41, 1)));
    let registered = table.vcpu(&first, &options)?;
    for descriptor in [first.as_raw_fd(), registered.as_raw_fd()] {
        refused(table.vcpu(&descriptor, &options).map(drop), "a vCPU twice");
    }
    let zero = VcpuOptions { kick_signal: Some(0), ..VcpuOptions::default() };
    refused(table.vcpu(&second, &zero).map(drop), "signal 0");
    table.vcpu(&second, &options)?;
    drop(registered);
    table.vcpu(&first, &options)?;

    let ring = |bytes| KvmOptions { dirty_log: DirtyLogMode::Ring { bytes }, ..Default::default() };
    let message = refused(Table::open_kvm(&vm, &kvm, &ring(65536)).map(drop), "no ring");
    assert!(message.contains("65536"), "{message}");
    let memory = Memory::anonymous(PAGE)?;
    let nameless = Slot::new(GuestAddress(0), &memory);
    let options = KvmOptions { installed: vec![nameless], ..KvmOptions::default() };
    let message = refused(Table::open_kvm(&vm, &kvm, &options).map(drop), "no id");
    assert!(message.contains("without an id"), "{message}");
    Ok(())
}

#[test]
#[ignore = "needs /dev/kvm"]
fn exits_of_ports_and_mmio() -> Result<()> {
    let (kvm, vm) = machine();
    let table = Table::open_kvm(&vm, &kvm, &KvmOptions::default())?;
    let memory = Memory::anonymous(8 * PAGE)?;
    #[rustfmt::skip]
    memory.write(CODE, &[
        0xe5, 0x71, // in ax, 0x71
        0xe6, 0x80, // out 0x80, al
        0x2e, 0xa3, 0x04, 0x90, // mov cs:[0x9004], ax
        0x2e, 0xa1, 0x06, 0x90, // mov ax, cs:[0x9006]
        0x2e, 0xa3, 0x00, 0x20, // mov cs:[0x2000], ax
        0xf4, // hlt
    ])?;
    table.submit(&[Slot::new(GuestAddress(0), &memory)])?;
    let mut vcpu = table.vcpu(&vcpu(&vm), &VcpuOptions::default())?;
    let mut exits = Vec::new();
    loop {
        let turn = vcpu.run()?;
        if turn.exit != Exit::Guest {
            continue;
        }
        let exit = vcpu.guest_exit();
        match &exit {
            GuestExit::PortRead { .. } => {
                assert!(vcpu.complete_read(&[1]).is_err());
                vcpu.complete_read(&[0x34, 0x12])?;
            }
            GuestExit::MmioRead { .. } => vcpu.complete_read(&[0x78, 0x56])?,
            GuestExit::Halt => break,
            _ => assert!(vcpu.complete_read(&[1, 2]).is_err()),
        }
        exits.push(exit);
    }
    assert_eq!(
        exits,
        [
            GuestExit::PortRead { port: 0x71, size: 2, count: 1 },
            GuestExit::PortWrite { port: 0x80, size: 1, data: vec![0x34] },
            GuestExit::MmioWrite { address: GuestAddress(0x9004), data: vec![0x34, 0x12] },
            GuestExit::MmioRead { address: GuestAddress(0x9006), size: 2 },
        ]
    );
    assert_eq!(number(&memory, 0x2000), 0x5678);
    Ok(())
}

#[test]
#[ignore = "needs /dev/kvm"]
fn a_dropped_table_leaves_no_slot_unless_asked_to() -> Result<()> {
    let (kvm, vm) = machine();
    let memory = Memory::anonymous(PAGES * PAGE)?;
    let slot = Slot::new(GuestAddress(0), &memory).with_id(3);
    let is_installed = || {
        let installed = vec![slot.clone()];
        let found = Table::open_kvm(&vm, &kvm, &KvmOptions { installed, ..KvmOptions::default() });
        if let Ok(table) = &found {
            // SAFETY: the slot's memory lives longer than this VM.
            unsafe { table.leave_slots() };
        }
        found.is_ok()
    };
    let table = Table::open_kvm(&vm, &kvm, &KvmOptions::default())?;
    table.submit(std::slice::from_ref(&slot))?;
    // SAFETY: as above.
    unsafe { table.leave_slots() };
    drop(table);
    assert!(is_installed());

    let installed = vec![slot.clone()];
    drop(Table::open_kvm(&vm, &kvm, &KvmOptions { installed, ..KvmOptions::default() })?);
    assert!(!is_installed());
    Ok(())
}
