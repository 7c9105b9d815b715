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
    if path.is_file() {
        let failed = |e| Error::io("cannot open", name.display(), &e);
        let text = xattr::read(&File::open(path).map_err(failed)?).map_err(failed)?;
        return Ok(text.and_then(|text| text.parse().ok()));
    }
    let lv = name.to_str().filter(|name| *name != super::STREAM);
    let volume = lv.map_or(Ok(None), |name| Lvm::default().resolve(name))?;
    Ok(volume.as_ref().and_then(Standing::of_lv))
}
