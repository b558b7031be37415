//! runtime/cart
fn main() {}
