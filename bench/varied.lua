-- Every request with an address and a Referer of its own: what a proxy remembers of the last one helps it little.
local asked = 0

request = function()
    asked = asked + 1
    wrk.headers["Referer"] = "http://127.0.0.1/page/" .. (asked - 1) .. "?from=bench"
    return wrk.format("GET", "/page/" .. asked .. "?n=" .. asked)
end
