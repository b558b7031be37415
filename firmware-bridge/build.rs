//! Gives the shared library its soname, and keeps it mapped once it was loaded.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The number is ECHOCART_ABI_MAJOR; tests/header.rs compares them.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libechocart.so.0");
        // Its threads, and ONNX Runtime's, would go on in code that is gone.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // The ends of a section are nobody else's.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,start-stop-visibility=hidden");
    }
}
