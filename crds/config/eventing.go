package config

// Eventing is the ConfigMaps of namespace knative-eventing as they were last accepted. It is immutable: Set.WithIn makes a new one.
type Eventing struct {
	BrokerDefaults  *BrokerDefaults
	BrokerChannel   *ChannelTemplate
	ChannelDefaults *ChannelDefaults
	Features        EventingFeatures
	KafkaBroker     *KafkaBroker
	Observability   *EventingObservability
	Ping            *PingDefaults
	Sugar           *Sugar
}

// newEventing returns the Eventing of a cluster without ConfigMaps.
func newEventing() *Eventing {
	e := &Eventing{}
	for _, name := range EventingNames() {
		next, _, err := e.with(name, nil)
		if err != nil {
			panic("config: the defaults of " + name + ": " + err.Error()) // compiled in: a test reads them
		}
		e = next
	}
	return e
}

// EventingNames returns the names of the ConfigMaps of namespace knative-eventing that a Set is made of.
func EventingNames() []string {
	return []string{
		BrokerChannelName, BrokerDefaultsName, EventingFeaturesName, EventingObservabilityName, PingDefaultsName, SugarName,
		ChannelDefaultsName, KafkaBrokerName,
	}
}

// with is Set.With for namespace knative-eventing.
func (e *Eventing) with(name string, data map[string]string) (*Eventing, []string, error) {
	next := *e
	var warnings []string
	var err error
	switch name {
	case BrokerChannelName:
		next.BrokerChannel, warnings, err = ParseBrokerChannel(data)
	case BrokerDefaultsName:
		next.BrokerDefaults, warnings, err = ParseBrokerDefaults(data)
	case ChannelDefaultsName:
		next.ChannelDefaults, warnings, err = ParseChannelDefaults(data)
	case EventingFeaturesName:
		next.Features, warnings, err = ParseEventingFeatures(data)
	case KafkaBrokerName:
		next.KafkaBroker, warnings, err = ParseKafkaBroker(data)
	case EventingObservabilityName:
		next.Observability, warnings, err = ParseEventingObservability(data)
	case PingDefaultsName:
		next.Ping, warnings, err = ParsePingDefaults(data)
	case SugarName:
		next.Sugar, warnings, err = ParseSugar(data)
	}
	if err != nil {
		return e, warnings, err
	}
	return &next, warnings, nil
}
