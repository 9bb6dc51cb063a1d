#include "core/mailbox.h"

#include <string>

#include "core/errors.h"

namespace llamad {

RequestId Mailbox::submit(std::span<std::unique_ptr<Request>> requests) {
    if (requests.size() > capacity()) {
        throw ParameterError("n", "n must be at most " + std::to_string(capacity()) +
                                      ", as many as may run and wait, got " +
                                      std::to_string(requests.size()));
    }
    const auto any_started = std::make_shared<bool>(false);
    for (const std::unique_ptr<Request> &request : requests) {
        if (request->any_started == nullptr) {
            request->any_started = any_started;
        }
    }
    return accept(requests);
}

} // namespace llamad
