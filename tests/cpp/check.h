// A test harness in one header: include it in one test_*.cpp and write
//
//     TEST("a full queue refuses") { CHECK_EQ(queue.push(1), false); }
//
// CHECK* note a failure and go on, REQUIRE ends the test. All may be used from any thread, except that
// REQUIRE throws and so belongs in the test's own. The program runs every test whose name contains its
// first argument and fails if any failed or none ran.
#pragma once

#include <atomic>
#include <concepts>
#include <exception>
#include <functional>
#include <iostream>
#include <mutex>
#include <ostream>
#include <ranges>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace check {

struct Test {
    std::string name;
    std::function<void()> run;
};

struct RequireFailed : std::exception {};

inline std::vector<Test> &tests() {
    static std::vector<Test> all;
    return all;
}

inline std::atomic<int> &failures() {
    static std::atomic<int> count{0};
    return count;
}

inline bool add(std::string name, std::function<void()> run) {
    tests().push_back({std::move(name), std::move(run)});
    return true;
}

inline void fail(std::string_view file, int line, const std::string &what) {
    static std::mutex one_line_at_a_time;
    const std::lock_guard lock(one_line_at_a_time);
    std::cerr << file << ':' << line << ": " << what << '\n';
    ++failures();
}

template <typename T> std::string show(const T &value) {
    std::ostringstream out;
    if constexpr (std::is_same_v<T, bool>) {
        out << (value ? "true" : "false");
    } else if constexpr (std::convertible_to<T, std::string_view>) {
        out << '"' << std::string_view(value) << '"';
    } else if constexpr (std::is_enum_v<T>) {
        out << "enum " << static_cast<long long>(value);
    } else if constexpr (requires { out << value; }) {
        out << value;
    } else if constexpr (std::ranges::input_range<const T &>) {
        out << '[';
        const char *separator = "";
        for (const auto &element : value) {
            out << std::exchange(separator, ", ") << show(element);
        }
        out << ']';
    } else {
        out << '?';
    }
    return out.str();
}

template <typename T>
constexpr bool kNumbers = std::integral<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char>;

template <typename A, typename B>
void equal(const A &a, const B &b, const char *text, const char *file, int line) {
    bool same = false;
    if constexpr (kNumbers<A> && kNumbers<B>) {
        same = std::cmp_equal(a, b); // 3 and 3u are equal, -1 and 4294967295u are not
    } else {
        same = a == b;
    }
    if (!same) {
        fail(file, line, std::string("CHECK_EQ(") + text + "): " + show(a) + " is not " + show(b));
    }
}

inline int run(std::string_view filter) {
    int passed = 0;
    int failed = 0;
    for (const Test &test : tests()) {
        if (test.name.find(filter) == std::string::npos) {
            continue;
        }
        const int before = failures();
        try {
            test.run();
        } catch (const RequireFailed &) {
            std::cerr << test.name << ": ended early\n";
        } catch (const std::exception &error) {
            fail(test.name, 0, std::string("unexpected exception: ") + error.what());
        }
        const bool ok = failures() == before;
        ++(ok ? passed : failed);
        std::cout << (ok ? "ok    " : "FAILED ") << test.name << '\n' << std::flush;
    }
    std::cout << passed << " passed, " << failed << " failed\n" << std::flush;
    return failed == 0 && passed > 0 ? 0 : 1;
}

} // namespace check

#define CHECK_JOIN2(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN2(a, b)
#define CHECK_TEST(name, function)                                                                           \
    static void function();                                                                                  \
    static const bool CHECK_JOIN(function, _added) = check::add(name, function);                             \
    static void function()
#define TEST(name) CHECK_TEST(name, CHECK_JOIN(test_at_line_, __LINE__))

#define CHECK(...)                                                                                           \
    ((__VA_ARGS__) ? void() : check::fail(__FILE__, __LINE__, "CHECK(" #__VA_ARGS__ ") is false"))
#define REQUIRE(...)                                                                                         \
    ((__VA_ARGS__) ? void()                                                                                  \
                   : (check::fail(__FILE__, __LINE__, "REQUIRE(" #__VA_ARGS__ ") is false"),                 \
                      throw check::RequireFailed{}))
#define CHECK_EQ(a, ...) check::equal((a), (__VA_ARGS__), #a ", " #__VA_ARGS__, __FILE__, __LINE__)
#define CHECK_THROWS(type, ...)                                                                              \
    do {                                                                                                     \
        bool check_thrown = false;                                                                           \
        try {                                                                                                \
            static_cast<void>(__VA_ARGS__);                                                                  \
        } catch (const type &) {                                                                             \
            check_thrown = true;                                                                             \
        }                                                                                                    \
        if (!check_thrown) {                                                                                 \
            check::fail(__FILE__, __LINE__, "CHECK_THROWS(" #__VA_ARGS__ "): no " #type " thrown");          \
        }                                                                                                    \
    } while (false)

int main(int argc, char **argv) { return check::run(argc > 1 ? argv[1] : ""); }
