//! `control` as the other roles and operators see it.

mod acknowledgements;
mod archives;
mod decisions;
mod enrolment;
mod evidence;
mod exports;
mod faults;
mod keys;
mod main_path;
mod offers;
mod operators;
mod parts;
mod powers;
mod purges;
mod register;
mod restored;
mod retention;
mod reviews;
mod seals;
mod suspensions;
mod syncs;
mod tasks;
mod updates;
mod versions;
mod waiting;
mod withdrawals;
