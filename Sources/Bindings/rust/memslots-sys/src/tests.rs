//! Compares the declarations with `memslots.h`, which the C compiler reads.

use super::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The header's folder: `MEMSLOTS_INCLUDE_DIR`, or the one of this repository.
fn include() -> PathBuf {
    std::env::var_os("MEMSLOTS_INCLUDE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../CMemslots/include"),
        PathBuf::from,
    )
}

/// The identifiers of `text` that begin with `memslots_` and that `follows` accepts.
fn names(text: &str, follows: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("memslots_")
        .filter(|(at, _)| !text[..*at].ends_with(is_part))
        .map(|(at, _)| &text[at..])
        .map(|rest| rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len())))
        .filter(|(_, rest)| rest.starts_with(follows))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The header without its comments.
fn header() -> String {
    let text = fs::read_to_string(include().join("memslots.h")).expect("memslots.h");
    let mut code = String::new();
    for (number, part) in text.split("/*").enumerate() {
        code += if number == 0 { part } else { part.split_once("*/").expect("a closed comment").1 };
    }
    code
}

#[test]
fn every_function_of_the_header_is_declared() {
    let declared: BTreeSet<_> = include_str!("lib.rs")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub fn memslots_"))
        .map(|rest| format!("memslots_{}", rest.split('(').next().unwrap_or("")))
        .collect();
    assert!(declared.len() > 40, "{declared:?}");
    assert_eq!(declared, names(&header(), "("));
}

#[test]
fn every_constant_of_the_header_has_its_value() {
    let constants: Vec<(&str, String)> = include_str!("lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .filter_map(|line| line.strip_suffix(';')?.split_once(": "))
        .map(|(name, rest)| (name, rest.split_once(" = ").expect("a value").1))
        .map(|(name, value)| (name, value.replace("u32::MAX", "4294967295u")))
        .collect();
    assert!(constants.len() > 40);
    let checks: String = constants
        .iter()
        .map(|(name, value)| format!("_Static_assert({name} == {value}, \"{name}\");\n"))
        .collect();
    compile(&checks);
}

#[test]
fn every_structure_has_the_layout_of_the_header() {
    let layouts = [
        memslots_violation::layout(),
        memslots_slot::layout(),
        memslots_table::layout(),
        memslots_simulator_options::layout(),
        memslots_kvm_options::layout(),
        memslots_capabilities::layout(),
        memslots_submit_options::layout(),
        memslots_receipt::layout(),
        memslots_operation::layout(),
        memslots_dirty_run::layout(),
        memslots_span::layout(),
        memslots_range::layout(),
        memslots_reader::layout(),
        memslots_view::layout(),
        memslots_vcpu::layout(),
        memslots_vcpu_options::layout(),
        memslots_change::layout(),
        memslots_hook_functions::layout(),
        memslots_back_end::layout(),
        memslots_back_end_offer::layout(),
        memslots_back_end_options::layout(),
        memslots_ring::layout(),
        memslots_back_end_status::layout(),
        memslots_hook::layout(),
        memslots_event::layout(),
        memslots_observation::layout(),
    ];
    let declared: BTreeSet<_> = layouts.iter().map(|layout| layout[0].0.to_owned()).collect();
    assert_eq!(declared, names(&header().replace("typedef struct ", ""), " {"));
    let mut checks = String::new();
    for layout in &layouts {
        let (name, size) = layout[0];
        checks += &format!("_Static_assert(sizeof({name}) == {size}, \"{name}\");\n");
        for (member, offset) in &layout[1..] {
            checks += &format!(
                "_Static_assert(offsetof({name}, {member}) == {offset}, \"{name}.{member}\");\n"
            );
        }
    }
    compile(&checks);
}

#[test]
fn the_library_has_the_version_of_the_header() {
    // SAFETY: the function has no preconditions.
    assert_eq!(unsafe { memslots_abi_1() }, MEMSLOTS_ABI);
    assert_eq!(sized::<memslots_receipt>().struct_size, core::mem::size_of::<memslots_receipt>());
}

/// Compiles C declarations after the header.
fn compile(declarations: &str) {
    let file = std::env::temp_dir().join(format!(
        "memslots-sys-{}-{:x}.c",
        std::process::id(),
        declarations.len()
    ));
    let source = format!("#include <stddef.h>\n#include <memslots.h>\n{declarations}");
    fs::write(&file, source).expect("a temporary file");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let output = Command::new(&compiler)
        .args(["-std=c11", "-fsyntax-only", "-DMEMSLOTS_NO_ABI_REFERENCE", "-I"])
        .arg(include())
        .arg(&file)
        .output()
        .expect("a C compiler (cc, or CC)");
    let _ = fs::remove_file(&file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
