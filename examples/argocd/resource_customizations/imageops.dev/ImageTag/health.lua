local waiting = {status = "Progressing", message = "The operator has not looked at this version yet."}

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return waiting
end

-- A new token asks for one more run; until the operator takes it up, the end that shows is that of the run before.
local annotations = obj.metadata.annotations or {}
local token = annotations["imageops.dev/requestedAt"]
if status.completionTime ~= nil and token ~= nil and token ~= status.lastHandledRequestedAt then
  return waiting
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local ready, stalled = conditions["Ready"], conditions["Stalled"]
if ready == nil then
  return waiting
end

if stalled ~= nil and stalled.status == "True" then
  return {status = "Degraded", message = stalled.message}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if ready.reason == "Suspended" then
  return {status = "Suspended", message = ready.message}
end
return {status = "Progressing", message = ready.message}
