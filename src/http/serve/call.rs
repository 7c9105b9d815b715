//! A request that may be answered, as the resources see it.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;

use super::Server;
use super::body::{Account, Body};
use super::volume::Volume;

/// A request.
pub struct Call<'a> {
    /// Who is asked.
    pub server: &'a Arc<Server>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// What follows `?` in the target.
    pub query: &'a str,
    /// Whether the body will be left out.
    pub is_head: bool,
    /// Whose it is.
    pub client: IpAddr,
    /// Separates the parts of a multipart body: 128 random bits, so that no volume has it in it but by intent of
    /// nobody.
    pub boundary: String,
}

impl Call<'_> {
    /// The body of a volume's resource: it counts for the transfer and the volume, and what fails is said.
    pub fn counted(&self, body: Body, volume: &Arc<Volume>) -> Body {
        if self.is_head { body } else { self.counted_by(self.account(volume), body) }
    }

    /// Who counts what is sent of a volume; begins a transfer, or is one more response of one.
    pub fn account(&self, volume: &Arc<Volume>) -> Account {
        let number = self.server.volumes.iter().position(|known| Arc::ptr_eq(known, volume)).unwrap_or_default();
        Account { meter: self.server.transfers.begin(self.client, number), volume: volume.clone() }
    }

    /// As [`Call::counted`], by an account that there is already.
    pub fn counted_by(&self, account: Account, body: Body) -> Body {
        let server = self.server.clone();
        body.counted(account).complaining(move |error| server.complaints.say(&error.to_string()))
    }
}
