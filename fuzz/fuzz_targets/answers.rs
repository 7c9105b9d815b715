//! What a receiver answers. What is believed says the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lvpipe::wire::Answer;
use lvpipe_fuzz::mend_answers;

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), mend_answers(bytes)] {
        let mut from = &bytes[..];
        while let Ok(answer) = Answer::read(&mut from) {
            let again = Answer::read(&mut &answer.encode()[..]).expect("what is written can be read");
            // A reason that was not UTF-8 has become longer, and is cut when it is written.
            if !matches!(answer, Answer::Failed { .. }) {
                assert_eq!(again, answer);
            }
        }
    }
});
