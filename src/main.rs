//! Start, dispatch, exit status. Everything else is in the library.
fn main() {}
