//! How `map --since` shows what changed. All of it is streamed: there may be a hundred million extents.

use std::io::{self, Write};

use crate::byte_size::ByteSize;
use crate::usedmap::{Delta, Extent, UsedMap};

pub(super) fn print_summary(out: &mut impl Write, name: &str, delta: &Delta) -> io::Result<()> {
    let size = delta.written.size();
    writeln!(out, "{name}")?;
    writeln!(out, "  volume     {:>10}  {size} bytes", ByteSize(size).to_string())?;
    for (what, map) in [("written", &delta.written), ("discarded", &delta.discarded)] {
        let used = map.used_bytes();
        let share = if size == 0 { 0.0 } else { used as f64 * 100.0 / size as f64 };
        let (bytes, extents) = (ByteSize(used).to_string(), map.extents().len());
        writeln!(out, "  {what:<9}  {bytes:>10}  {used} bytes, {share:.1} %, {extents} extents")?;
    }
    Ok(())
}

/// By rising offset; what is written and what is discarded do not overlap.
pub(super) fn print_extents(out: &mut impl Write, delta: &Delta) -> io::Result<()> {
    let mut written = delta.written.extents().iter().peekable();
    let mut discarded = delta.discarded.extents().iter().peekable();
    let mut line = |extent: &Extent, what: &str| writeln!(out, "{} {} {what}", extent.offset, extent.length);
    while written.peek().is_some() || discarded.peek().is_some() {
        let next = discarded.peek().copied();
        match written.next_if(|extent| next.is_none_or(|next| extent.offset < next.offset)) {
            Some(extent) => line(extent, "written")?,
            None => discarded.next().map_or(Ok(()), |extent| line(extent, "discarded"))?,
        }
    }
    Ok(())
}

pub(super) fn print_json(out: &mut impl Write, name: &str, delta: &Delta) -> io::Result<()> {
    let (size, written, discarded) =
        (delta.written.size(), delta.written.used_bytes(), delta.discarded.used_bytes());
    write!(out, "{{\"volume\":{},\"size\":{size}", serde_json::Value::from(name))?;
    write!(out, ",\"written\":{written},\"discarded\":{discarded},\"written_extents\":[")?;
    pairs(out, &delta.written)?;
    write!(out, "],\"discarded_extents\":[")?;
    pairs(out, &delta.discarded)?;
    writeln!(out, "]}}")
}

fn pairs(out: &mut impl Write, map: &UsedMap) -> io::Result<()> {
    for (index, extent) in map.extents().iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}[{},{}]", extent.offset, extent.length)?;
    }
    Ok(())
}
