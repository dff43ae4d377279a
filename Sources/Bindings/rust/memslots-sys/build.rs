//! Finds libmemslots: the folder in `MEMSLOTS_LIB_DIR`, or else pkg-config's answer.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=MEMSLOTS_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    println!("cargo:rustc-link-lib=dylib=memslots");
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    // A dependent's build script reads the folder as DEP_MEMSLOTS_LIB_DIR, for an rpath of its own.
    if let Some(folder) = env::var("MEMSLOTS_LIB_DIR").ok().or_else(folder_of_pkg_config) {
        println!("cargo:rustc-link-search=native={}", folder);
        println!("cargo:lib_dir={}", folder);
    } else {
        println!(
            "cargo:warning=libmemslots was not found: set PKG_CONFIG_PATH to the folder of \
             memslots.pc, or MEMSLOTS_LIB_DIR to that of libmemslots.so"
        );
    }
}

fn folder_of_pkg_config() -> Option<String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(program).args(["--variable=libdir", "memslots"]).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    if output.status.success() && !folder.is_empty() {
        Some(folder)
    } else {
        None
    }
}
