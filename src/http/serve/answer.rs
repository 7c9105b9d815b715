//! Responses, and what all of them have in common.

use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SERVER,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};

use super::body::Body;

/// A response.
pub type Answer = Response<Body>;

/// A short answer in words.
pub fn words(status: StatusCode, text: &str) -> Answer {
    with_type(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// An answer of this media type.
pub fn with_type(status: StatusCode, media_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Body::whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// 404.
pub fn not_found() -> Answer {
    words(StatusCode::NOT_FOUND, "not found: / lists the volumes")
}

/// 405: only GET and HEAD do anything here.
pub fn method_not_allowed() -> Answer {
    let mut answer = words(StatusCode::METHOD_NOT_ALLOWED, "volumes are served to be read: GET and HEAD");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    closing(answer)
}

/// 401, with both ways to say the token.
pub fn unauthorized() -> Answer {
    let mut answer = words(
        StatusCode::UNAUTHORIZED,
        "the token is missing or wrong: Authorization: Bearer TOKEN, or the token as the password of any user",
    );
    for challenge in ["Bearer realm=\"lvpipe\"", "Basic realm=\"lvpipe\", charset=\"UTF-8\""] {
        answer.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    closing(answer)
}

/// 503: later, perhaps.
pub fn busy(text: &str) -> Answer {
    let mut answer = words(StatusCode::SERVICE_UNAVAILABLE, text);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    closing(answer)
}

/// The connection ends with this.
pub fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Sets a field whose value is made of what is fit for one.
pub fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    // Tags, numbers, types and encoded names: visible ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// What every response gets. For a HEAD the body's length is told and the body left out.
pub fn finish(mut answer: Answer, is_head: bool) -> Answer {
    let length = answer.body().length();
    let headers = answer.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static(concat!("lvpipe/", env!("CARGO_PKG_VERSION"))));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    let has_none = answer.status() == StatusCode::NOT_MODIFIED;
    if let Some(length) = length.filter(|_| !has_none) {
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    if is_head { answer.map(|_| Body::empty_of(length)) } else { answer }
}
