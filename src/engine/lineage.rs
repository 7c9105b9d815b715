//! What a stream says of where it comes from.

use crate::volume::Origin;
use crate::wire::Lineage;

/// What a stream, or a server, tells of where it comes from.
pub fn lineage(origin: Origin) -> Lineage {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Lineage {
        source: Some(origin.name),
        uuid: origin.uuid,
        host: nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()),
        time: since_1970.ok().map(|time| time.as_secs()),
        program: Some(env!("CARGO_PKG_VERSION").into()),
        identity: origin.identity,
        etag: None,
        state: origin.state.map(|state| state.to_string()),
        base: origin.base.map(|base| base.to_string()),
    }
}
