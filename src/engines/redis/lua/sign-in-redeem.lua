-- include sign-ins
-- code, session, ms, most, now. Returns the role, or false.
local now = tonumber(ARGV[5])
local role = take(CODES, ARGV[1], now)
if not role then return false end
add(SESSIONS, tonumber(ARGV[4]), ARGV[2], role, now + ARGV[3], now)
return role
