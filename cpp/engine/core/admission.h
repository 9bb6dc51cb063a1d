// Requests that wait for a slot.
#pragma once

#include <memory>
#include <vector>

#include "core/sequence.h"

namespace llamad {

// Who comes next:
//  1. lower priority values first;
//  2. of these, those that have had a slot before: a preemption costs no place in the queue;
//  3. of these, the client that has been served least (FairShare);
//  4. of one client, first come, first served.
// Its length is bounded by the mailbox. Belongs to the engine thread.
class Admission {
  public:
    bool empty() const { return waiting_.empty(); }
    std::size_t size() const { return waiting_.size(); }

    void push(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }

    // All that wait, next first; valid until the next push() or take().
    const std::vector<const Sequence *> &in_order() const;

    // Takes out the sequence with this id; null where none has it.
    std::unique_ptr<Sequence> take(RequestId id);

    // In no order.
    const std::vector<std::unique_ptr<Sequence>> &all() const { return waiting_; }

  private:
    std::vector<std::unique_ptr<Sequence>> waiting_;
    mutable std::vector<const Sequence *> order_; // scratch of in_order()
};

} // namespace llamad
