//! Splits guest memory under a device that uses it, on the simulator.
//!
//!     cargo run --example split

use memslots::{GuestAddress, Memory, SimulatorOptions, Slot, Table};

fn main() -> memslots::Result<()> {
    let table = Table::simulated(&SimulatorOptions::default())?;
    let ram = Slot::new(GuestAddress(0), &Memory::anonymous(1 << 30)?);
    let ram = table.submit(&[ram])?.slots.remove(0);

    // Open a hole for a device: one slot becomes two, and no vCPU sees the RAM missing.
    let (low, rest) = ram.split_at(GuestAddress(0xa_0000))?;
    let (_, high) = rest.split_at(GuestAddress(0xc_0000))?;
    println!("{}", table.submit(&[low, high])?);

    let mut device = table.reader("device")?;
    let mut view = device.enter()?;
    view.write(GuestAddress(0x9_ff00), b"a packet")?;
    let refused = view.write(GuestAddress(0x9_ff00), &[0; 4096]).unwrap_err();
    println!("{refused}");
    Ok(())
}
