//! Volumes sent and received, through the binary. One file a behaviour:

/// Images whose blocks are stamped with their place, for all of them.
mod image;
/// lvpipe as a process, for all of them.
mod process;

/// Odd names, foreign streams, wrong sizes, terminals: what is refused, with which words and status.
mod bad_input;
/// A source that is written while it is sent.
mod changing_source;
/// Truncated and damaged streams are never taken for whole.
mod damage;
/// A target file that exists is fully replaced; one that is in use is not touched.
mod existing_file;
/// File systems, devices and pipes that take no more.
mod full;
/// What the help shows can be typed.
mod help;
/// -r and -m are kept.
mod limits;
/// Block devices as targets and sources.
mod loop_device;
/// What `map` and `inspect` tell.
mod map_and_inspect;
/// A new target file is under its name only when it is whole.
mod new_file;
/// Ends of a transfer that are the same file, or are not there at all.
mod own_ends;
/// The page cache stays as it was.
mod page_cache;
/// What is said while a run lasts, and when it is over.
mod progress;
/// What was sent is what is received: sizes, layouts, options.
mod round_trip;
/// Runs that are ended from outside: kill -9, SIGTERM and its like.
mod signals;
