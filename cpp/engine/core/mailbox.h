// Commands into the engine: with the event queue the only places in it with a lock.
#pragma once

#include <memory>
#include <span>

#include "core/inbox.h"
#include "core/request.h"

namespace llamad {

using Mail = Delivery<Request>;

// The engine's inbox: its requests may come several at a time, the choices of one prompt.
class Mailbox : public Inbox<Request> {
  public:
    using Inbox::Inbox;

    // As accept(); throws ParameterError where there could never be room for so many.
    RequestId submit(std::span<std::unique_ptr<Request>> requests);
};

} // namespace llamad
