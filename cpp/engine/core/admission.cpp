#include "core/admission.h"

#include <algorithm>

namespace llamad {

std::unique_ptr<Request> Admission::pop() {
    std::unique_ptr<Request> request = std::move(waiting_.front());
    waiting_.pop_front();
    return request;
}

std::unique_ptr<Request> Admission::remove(RequestId id) {
    const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                    [id](const auto &request) { return request->id == id; });
    if (found == waiting_.end()) {
        return nullptr;
    }
    std::unique_ptr<Request> request = std::move(*found);
    waiting_.erase(found);
    return request;
}

} // namespace llamad
