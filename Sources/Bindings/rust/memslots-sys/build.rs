//! Finds libmemslots: the folder in `MEMSLOTS_LIB_DIR`, or pkg-config's answer, or the linker's folders.

use std::env;
use std::path::Path;
use std::process::{exit, Command};

const VARIABLES: [&str; 5] = [
    "MEMSLOTS_LIB_DIR",
    "PKG_CONFIG",
    "PKG_CONFIG_PATH",
    "PKG_CONFIG_LIBDIR",
    "PKG_CONFIG_SYSROOT_DIR",
];

fn main() {
    for variable in VARIABLES {
        println!("cargo:rerun-if-env-changed={}", variable);
    }
    println!("cargo:rustc-link-lib=dylib=memslots");
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    // A dependent's build script reads the folder as DEP_MEMSLOTS_LIB_DIR, for an rpath of its own.
    if let Some(folder) = given().or_else(folder_of_pkg_config) {
        println!("cargo:rustc-link-search=native={}", folder);
        println!("cargo:lib_dir={}", folder);
    } else if !linker_knows() {
        eprintln!(
            "libmemslots was not found. Install the package libmemslots-dev, or run \
             Sources/Packaging/install-libmemslots FOLDER of the Memslots repository and set \
             PKG_CONFIG_PATH=FOLDER/lib/pkgconfig (or, without pkg-config, \
             MEMSLOTS_LIB_DIR=FOLDER/lib)."
        );
        exit(1);
    }
}

fn given() -> Option<String> {
    env::var("MEMSLOTS_LIB_DIR").ok().filter(|folder| !folder.is_empty())
}

fn folder_of_pkg_config() -> Option<String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    // Unlike a variable, -L has the prefix of PKG_CONFIG_SYSROOT_DIR.
    let mut command = Command::new(program);
    command.env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1").args(["--libs-only-L", "memslots"]);
    let output = command.output().ok().filter(|output| output.status.success())?;
    let folders = String::from_utf8(output.stdout).ok()?;
    let folder = folders.trim().strip_prefix("-L")?.split(" -L").next()?.replace("\\ ", " ");
    Some(folder)
}

/// Whether the library is where linkers of this machine search anyway.
fn linker_knows() -> bool {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let multiarch = format!("/usr/lib/{}-linux-gnu", architecture);
    let extra = env::var("LIBRARY_PATH").unwrap_or_default();
    let mut folders =
        vec!["/usr/local/lib", "/usr/lib", "/usr/lib64", "/lib", "/lib64", &multiarch];
    folders.extend(extra.split(':').filter(|folder| !folder.is_empty()));
    folders.iter().any(|folder| Path::new(folder).join("libmemslots.so").exists())
}
