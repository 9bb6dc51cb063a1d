// Requests that wait for a slot.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "core/request.h"

namespace llamad {

// First come, first served. Its length is bounded by the mailbox. Belongs to the engine thread.
class Admission {
  public:
    bool empty() const { return waiting_.empty(); }
    std::size_t size() const { return waiting_.size(); }

    void push(std::unique_ptr<Request> request) { waiting_.push_back(std::move(request)); }

    // The request whose turn it is. Requires !empty().
    const Request &next() const { return *waiting_.front(); }
    std::unique_ptr<Request> pop();

    // Takes out the request with this id; null where none has it.
    std::unique_ptr<Request> remove(RequestId id);

  private:
    std::deque<std::unique_ptr<Request>> waiting_;
};

} // namespace llamad
