// A reader's announcement against a writer's look, with nothing else around the four accesses.
#ifndef CFENCE_LITMUS_H
#define CFENCE_LITMUS_H

// Lets a reader come in on a thread of its own, `rounds` times, while the caller publishes and looks,
// with the fence between if `fenced` is not 0.
//
// Returns how often the reader was not seen and did not find what was published; -1 where there is
// no thread to be had.
long cfence_litmus(long rounds, int fenced);

#endif
