-- Requests of many people in turn: each line of a file is one's Cookie header.
local made, next_one = {}, 0

for line in io.lines("COOKIES") do
    wrk.headers["Cookie"] = line
    made[#made + 1] = line
end

request = function()
    next_one = next_one % #made + 1
    wrk.headers["Cookie"] = made[next_one]
    return wrk.format("GET", "/")
end
