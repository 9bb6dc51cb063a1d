#include "core/admission.h"

#include <algorithm>
#include <tuple>

namespace llamad {

const std::vector<const Sequence *> &Admission::in_order() const {
    order_.clear();
    for (const std::unique_ptr<Sequence> &sequence : waiting_) {
        order_.push_back(sequence.get());
    }
    const auto rank = [](const Sequence &s) {
        return std::tuple(s.priority(), !s.started(), s.served(), s.id());
    };
    std::sort(order_.begin(), order_.end(),
              [&rank](const Sequence *a, const Sequence *b) { return rank(*a) < rank(*b); });
    return order_;
}

std::unique_ptr<Sequence> Admission::take(RequestId id) {
    const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                    [id](const auto &sequence) { return sequence->id() == id; });
    if (found == waiting_.end()) {
        return nullptr;
    }
    std::unique_ptr<Sequence> sequence = std::move(*found);
    waiting_.erase(found);
    return sequence;
}

} // namespace llamad
