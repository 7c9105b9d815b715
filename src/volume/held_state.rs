//! What a volume holds by its last transfer, for those who only look.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use super::lvm::Lvm;
use super::standing::Standing;
use super::xattr;
use crate::error::{Error, Result};

/// What is kept with the volume of this name, an LV or a file. `None` where nothing is: for other names, that of a
/// stream among them.
///
/// # Errors
/// LVM's, when it cannot be asked; or the system's.
pub fn held_state(name: &OsStr) -> Result<Option<Standing>> {
    let path = Path::new(name);
    let text = if path.is_file() {
        let failed = |e| Error::io("cannot open", name.display(), &e);
        xattr::read(&File::open(path).map_err(failed)?).map_err(failed)?
    } else if let Some(name) = name.to_str().filter(|name| *name != super::STREAM) {
        Lvm::default().resolve(name)?.and_then(|volume| volume.holds().map(String::from))
    } else {
        None
    };
    Ok(text.and_then(|text| text.parse().ok()))
}
