#include "core/grammar_automaton.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace llamad {

namespace {

using Kind = GrammarElement::Kind;

// What may be spent on one token of the output, in stacks looked at: some 50 ms. A grammar that can
// be read in several ways may double them with each character, which nothing in its text tells.
constexpr std::size_t kMostWork = 8'000'000;
// What is made takes time and memory, at the most some 100 MiB.
constexpr std::size_t kWorkOfNode = 16;
constexpr std::size_t kWorkOfState = 64;
constexpr std::size_t kRangesPerWork = 8;

constexpr std::size_t kManyStates = 1 << 12;

bool is_end(Kind kind) { return kind == Kind::kEnd || kind == Kind::kAlternative; }

} // namespace

GrammarAutomaton::GrammarAutomaton(const std::vector<std::vector<GrammarElement>> &rules, std::size_t root)
    : nodes_{{.element = 0, .below = kBottom}}, states_{StateData({})}, state_of_{{{}, kDead}}, seen_in_{0} {
    for (const std::vector<GrammarElement> &rule : rules) {
        add_rule(rule);
    }
    add_rule(
        {{.kind = Kind::kRule, .value = static_cast<std::uint32_t>(root)}, {.kind = Kind::kEnd, .value = 0}});
    open(push(alternatives_.back().front(), kBottom));
    start_ = opened();
}

void GrammarAutomaton::add_rule(const std::vector<GrammarElement> &rule) {
    const auto begin = static_cast<std::uint32_t>(elements_.size());
    elements_.insert(elements_.end(), rule.begin(), rule.end());
    const auto end = static_cast<std::uint32_t>(elements_.size());
    behind_.resize(end, end);
    for (std::uint32_t i = end - 1; i > begin; --i) {
        const bool goes_on = kind_at(i) == Kind::kCharUpper || kind_at(i) == Kind::kCharAlso;
        behind_[i - 1] = goes_on ? behind_[i] : i;
    }
    std::vector<std::uint32_t> alternatives{begin};
    for (std::uint32_t i = begin; i < end; ++i) {
        if (kind_at(i) == Kind::kAlternative) {
            alternatives.push_back(i + 1);
        }
        has_tokens_ = has_tokens_ || is_token(i);
    }
    alternatives_.push_back(std::move(alternatives));
}

bool GrammarAutomaton::is_token(std::uint32_t element) const {
    return kind_at(element) == Kind::kToken || kind_at(element) == Kind::kTokenNot;
}

// Whether a character is to come next.
bool GrammarAutomaton::is_text(Node stack) const {
    return stack != kBottom && !is_token(nodes_[stack].element);
}

bool GrammarAutomaton::matches(std::uint32_t terminal, char32_t low, char32_t high) {
    const std::uint32_t end = behind_[terminal];
    charge(1 + (end - terminal) / kRangesPerWork);
    if (kind_at(terminal) == Kind::kCharAny) {
        return true;
    }
    const bool negated = kind_at(terminal) == Kind::kCharNot;
    std::vector<std::pair<char32_t, char32_t>> excluded; // parts of what is asked for
    for (std::uint32_t i = terminal; i < end; ++i) {
        const char32_t first = elements_[i].value;
        const bool is_range = i + 1 < end && kind_at(i + 1) == Kind::kCharUpper;
        const char32_t last = is_range ? elements_[++i].value : first;
        if (last < low || high < first) {
            continue;
        }
        if (!negated || (first <= low && high <= last)) {
            return !negated;
        }
        excluded.emplace_back(first, last);
    }
    std::sort(excluded.begin(), excluded.end());
    for (const auto &[first, last] : excluded) {
        if (first <= low && high <= last) { // last + 1 may be beyond all numbers
            return false;
        }
        if (first <= low) {
            low = std::max<char32_t>(low, last + 1);
        }
    }
    return negated;
}

void GrammarAutomaton::charge(std::size_t work) {
    work_ += work;
    if (work_ > kMostWork) {
        todo_.clear();
        found_.clear();
        throw std::runtime_error("the grammar takes too long to follow: it can be read in too many ways");
    }
}

// The stack with what begins at an element on top, where anything does.
GrammarAutomaton::Node GrammarAutomaton::push(std::uint32_t element, Node below) {
    if (is_end(kind_at(element))) {
        return below;
    }
    const std::uint64_t key = (std::uint64_t{element} << 32U) | below;
    const auto [entry, added] = node_of_.try_emplace(key, static_cast<Node>(nodes_.size()));
    if (added) {
        nodes_.push_back({.element = element, .below = below});
        seen_in_.push_back(0);
    }
    return entry->second;
}

// Finds the stacks with a terminal on top, or nothing at all, that a stack stands for.
void GrammarAutomaton::open(Node stack) {
    todo_.push_back(stack);
    while (!todo_.empty()) {
        const Node node = todo_.back();
        todo_.pop_back();
        if (std::exchange(seen_in_[node], round_) == round_) {
            continue;
        }
        charge(1);
        const auto [element, below] = nodes_[node];
        if (node == kBottom || kind_at(element) != Kind::kRule) {
            found_.push_back(node);
            continue;
        }
        const std::size_t n_before = nodes_.size();
        const Node rest = push(element + 1, below);
        for (const std::uint32_t alternative : alternatives_[elements_[element].value]) {
            todo_.push_back(push(alternative, rest));
        }
        charge((nodes_.size() - n_before) * kWorkOfNode);
    }
}

// The state of all stacks that have been found.
GrammarAutomaton::State GrammarAutomaton::opened() {
    std::sort(found_.begin(), found_.end());
    const auto [entry, added] = state_of_.try_emplace(found_, static_cast<State>(states_.size()));
    if (added) {
        states_.emplace_back(found_);
    }
    found_.clear();
    ++round_;
    charge(added ? kWorkOfState : 0);
    return entry->second;
}

// A large vocabulary has many thousands of characters, and a list of words to choose from as many stacks.
void GrammarAutomaton::classify_characters(State state) {
    StateData &data = states_[state];
    std::vector<char32_t> begins{static_cast<char32_t>(data.ascii.size())};
    const auto begin_at = [&begins](char32_t character) {
        if (character > begins.front()) {
            begins.push_back(character);
        }
    };
    for (const Node stack : data.stacks) {
        if (!is_text(stack)) {
            continue;
        }
        const std::uint32_t terminal = nodes_[stack].element;
        const std::uint32_t end = behind_[terminal];
        charge(1 + ((end - terminal) / kRangesPerWork));
        for (std::uint32_t i = terminal; i < end; ++i) {
            begin_at(elements_[i].value); // the end of a range, too: one class more does no harm
            begin_at(elements_[i].value + 1);
        }
    }
    std::sort(begins.begin(), begins.end());
    begins.erase(std::unique(begins.begin(), begins.end()), begins.end());
    charge(begins.size());
    data.after_class.assign(begins.size(), kUnknown);
    data.classes.assign(begins.begin(), begins.end());
}

std::size_t GrammarAutomaton::class_of(State state, char32_t character) {
    if (states_[state].classes.empty()) {
        classify_characters(state);
    }
    const std::vector<char32_t> &classes = states_[state].classes;
    const auto after = std::upper_bound(classes.begin(), classes.end(), character);
    return static_cast<std::size_t>(after - classes.begin()) - 1;
}

GrammarAutomaton::State GrammarAutomaton::after(State state, char32_t character) {
    const bool is_ascii = character < states_[state].ascii.size();
    const std::size_t index = is_ascii ? character : class_of(state, character);
    const auto known = [&]() -> State & {
        StateData &data = states_[state];
        return is_ascii ? data.ascii[index] : data.after_class[index];
    };
    if (known() != kUnknown) {
        return known();
    }
    for (const Node stack : states_[state].stacks) {
        const auto [element, below] = nodes_[stack];
        if (is_text(stack) && matches(element, character, character)) {
            open(push(behind_[element], below));
        }
    }
    const State next = opened();
    known() = next;
    return next;
}

GrammarAutomaton::State GrammarAutomaton::after_token(State state, TokenId token) {
    if (!has_tokens_) {
        return kDead;
    }
    charge(states_[state].stacks.size());
    for (const Node stack : states_[state].stacks) {
        const auto [element, below] = nodes_[stack];
        const bool is_same = elements_[element].value == static_cast<std::uint32_t>(token);
        if (stack != kBottom && is_token(element) && is_same == (kind_at(element) == Kind::kToken)) {
            open(push(element + 1, below));
        }
    }
    return opened();
}

GrammarAutomaton::State GrammarAutomaton::either(State one, State other) {
    if (one == kDead || other == kDead || one == other) {
        return one == kDead ? other : one;
    }
    const std::vector<Node> &a = states_[one].stacks;
    const std::vector<Node> &b = states_[other].stacks;
    charge(a.size() + b.size());
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(found_));
    return opened();
}

bool GrammarAutomaton::takes_some(State state, char32_t low, char32_t high) {
    const std::vector<Node> &stacks = states_[state].stacks;
    return std::any_of(stacks.begin(), stacks.end(), [&](Node stack) {
        return is_text(stack) && matches(nodes_[stack].element, low, high);
    });
}

bool GrammarAutomaton::may_end(State state) const {
    const std::vector<Node> &stacks = states_[state].stacks;
    return !stacks.empty() && stacks.front() == kBottom;
}

GrammarAutomaton::State GrammarAutomaton::settle(State state) {
    work_ = 0;
    if (nodes_.size() <= many_nodes_ && states_.size() <= kManyStates) {
        return state;
    }
    found_ = forget_all_but(states_[state].stacks);
    many_nodes_ = std::max(kManyNodes, 2 * nodes_.size());
    return opened();
}

// Keeps some stacks and all below them; returns their new names.
std::vector<GrammarAutomaton::Node> GrammarAutomaton::forget_all_but(std::vector<Node> stacks) {
    std::vector<bool> kept(nodes_.size());
    for (const Node stack : stacks) {
        kept[stack] = true;
    }
    for (std::size_t node = nodes_.size() - 1; node > kBottom; --node) {
        kept[nodes_[node].below] = kept[nodes_[node].below] || kept[node];
    }
    const std::vector<NodeData> all = std::exchange(nodes_, {nodes_.front()});
    node_of_.clear();
    seen_in_.assign(1, 0);
    states_.resize(1, StateData({}));
    state_of_ = {{{}, kDead}};
    std::vector<Node> renamed(all.size(), kBottom);
    for (std::size_t node = 1; node < all.size(); ++node) {
        if (kept[node]) {
            renamed[node] = push(all[node].element, renamed[all[node].below]);
        }
    }
    for (Node &stack : stacks) {
        stack = renamed[stack];
    }
    return stacks;
}

} // namespace llamad
