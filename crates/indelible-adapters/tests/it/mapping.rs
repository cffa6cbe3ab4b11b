//! What each format's records say of who, what, when and how it ended.

use indelible_adapters::{Adapter, Format};

use crate::support::{adapt_and_check, summary};

#[test]
fn cloudtrail_says_service_and_call() {
    let record = r#"{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDA","arn":"arn:aws:iam::1:user/ann",
        "accessKeyId":"ASIA","userName":"ann"},"eventTime":"2023-07-10T12:29:14Z","eventSource":"iam.amazonaws.com",
        "eventName":"CreateUser","sourceIPAddress":"10.8.8.10","userAgent":"aws-cli","requestParameters":{"userName":"bob"},
        "eventID":"1da456c0-b61e-4fe4-9213-887e6c6003b4","readOnly":false}"#;
    assert_eq!(
        summary(None, record),
        "iam.CreateUser success class=critical severity=low id=1da456c0-b61e-4fe4-9213-887e6c6003b4 time=1688992154000000000 \
         actor.id=arn:aws:iam::1:user/ann actor.type=IAMUser actor.name=ann session=ASIA ip=10.8.8.10 user_agent=aws-cli \
         target=user:bob"
    );
    let denied = r#"{"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"x","sourceIPAddress":"ec2.amazonaws.com",
        "errorCode":"Client.UnauthorizedOperation","resources":[{"ARN":"arn:1","type":"AWS::EC2::Instance"},{"ARN":"arn:2"}]}"#;
    assert_eq!(
        summary(None, denied),
        "ec2.RunInstances denied class=critical severity=medium host=ec2.amazonaws.com target=AWS::EC2::Instance:arn:1 \
         target=resource:arn:2"
    );
    let login = |result: &str| {
        let record = format!(
            r#"{{"eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","responseElements":{{"ConsoleLogin":"{result}"}}}}"#
        );
        summary(Some(Format::CloudTrail), &record)
    };
    assert_eq!(login("Failure"), "signin.ConsoleLogin failure class=critical severity=medium");
    assert_eq!(login("Success"), "signin.ConsoleLogin success class=normal severity=info");
    let code = |code: &str| summary(Some(Format::CloudTrail), &format!(r#"{{"errorCode":"{code}"}}"#));
    assert!(code("InternalFailure").contains("error"));
    assert!(code("NoSuchEntityException").contains("failure"));
}

#[test]
fn kubernetes_says_resource_and_verb_and_one_id_per_stage() {
    let record = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"55a81824-ab56-46c5-8b02-96336f5e78d7",
        "stage":"ResponseComplete","requestURI":"/api/v1/namespaces/kube/pods/web/exec","verb":"create",
        "user":{"username":"system:serviceaccount:kube:ci","groups":["g"]},"impersonatedUser":{"username":"root"},
        "sourceIPs":["192.168.64.1","10.0.0.1"],"userAgent":"kubectl",
        "objectRef":{"resource":"pods","subresource":"exec","namespace":"kube","name":"web"},"responseStatus":{"code":101},
        "requestReceivedTimestamp":"2020-04-21T17:57:05.541358Z","stageTimestamp":"2020-04-21T17:57:05.548299Z"}"#;
    assert_eq!(
        summary(None, record),
        "pods/exec.create success id=55a81824-ab56-46c5-8b02-96336f5e78d7/ResponseComplete time=1587491825548299000 \
         actor.id=system:serviceaccount:kube:ci actor.type=service_account ip=192.168.64.1 user_agent=kubectl \
         target=pods:web target=namespace:kube"
    );
    let forbidden = r#"{"auditID":"1","stage":"ResponseComplete","verb":"get","requestURI":"/healthz","user":{"username":"system:anonymous"},
        "annotations":{"authorization.k8s.io/decision":"forbid"},"responseStatus":{"code":403}}"#;
    assert_eq!(
        summary(None, forbidden),
        "k8s.get denied class=critical severity=medium id=1/ResponseComplete actor.id=system:anonymous actor.type=system \
         target=url:/healthz"
    );
    let created = r#"{"auditID":"1","verb":"create","objectRef":{"resource":"clusterrolebindings"},"responseStatus":{"code":500},
        "requestObject":{"metadata":{"name":"root-for-all"}}}"#;
    assert_eq!(
        summary(None, created),
        "clusterrolebindings.create error class=critical severity=medium id=1 target=clusterrolebindings:root-for-all"
    );
}

#[test]
fn ocsf_says_class_and_activity_by_name_or_number() {
    let record = r#"{"class_uid":3002,"class_name":"Authentication","activity_id":1,"activity_name":"Logon","category_uid":3,"type_uid":300201,
        "time":1440695581826,"severity_id":3,"status_id":2,"metadata":{"uid":"u-1"},"actor":{"user":{"uid":"S-1","name":"ann",
        "email_addr":"a@x"},"session":{"uid":"0x3"}},"src_endpoint":{"ip":"::1"},"device":{"hostname":"dc"},
        "observables":[{"value":"ann"}],"http_request":{"user_agent":"curl","url":"/"}}"#;
    assert_eq!(
        summary(None, record),
        "authentication.logon failure class=critical severity=medium id=u-1 time=1440695581826000000 actor.id=S-1 actor.name=ann \
         actor.email=a@x session=0x3 ip=::1 user_agent=curl host=dc"
    );
    adapt_and_check(&mut Adapter::new(None), record.as_bytes(), |draft| {
        let identity = std::str::from_utf8(draft.identity_details.unwrap().bytes()).unwrap().to_owned();
        assert!(identity.contains("observables") && identity.contains(r#""http_request":{"user_agent":"curl"}"#), "{identity}");
    })
    .unwrap();
    let numbers =
        r#"{"class_uid":1007,"activity_id":2,"category_uid":1,"status_id":1,"severity_id":1,"process":{"pid":91,"name":"sh"}}"#;
    assert_eq!(summary(None, numbers), "process_activity.terminate success severity=info target=process:91:sh");
    assert_eq!(summary(None, r#"{"class_uid":0,"activity_id":99,"type_uid":99}"#), "ocsf.99 unknown");
    assert_eq!(
        summary(None, r#"{"class_uid":6003,"activity_id":1,"disposition_id":2}"#),
        "api_activity.create denied class=critical severity=medium"
    );
    assert!(
        summary(None, r#"{"class_uid":2004,"activity_id":1}"#)
            .starts_with("detection_finding.create unknown class=critical severity=high")
    );
}

#[test]
fn windows_says_what_the_event_means() {
    let logon = r#"{"EventID":4624,"Channel":"Security","Hostname":"DC.example","EventTime":"2020-09-21 22:13:49",
        "@timestamp":"2020-09-22T02:13:51.102Z","SubjectUserSid":"S-1-0-0","SubjectUserName":"-","TargetUserSid":"S-1-5-21-7",
        "TargetUserName":"ann","TargetLogonId":"0x6c0ae3d","IpAddress":"10.0.0.7","Keywords":-9214364837600034816,"SeverityValue":2}"#;
    assert_eq!(
        summary(None, logon),
        "user.login success time=1600740831102000000 actor.id=S-1-5-21-7 actor.type=user actor.name=ann session=0x6c0ae3d \
         ip=10.0.0.7 host=DC.example"
    );
    let failed = r#"{"EventID":"4625","Channel":"Security","TargetUserName":"WEB$","IpAddress":"-","Level":"0"}"#;
    assert_eq!(summary(None, failed), "user.login failure actor.type=computer actor.name=WEB$");
    let kerberos = r#"{"EventID":4768,"Channel":"Security","Status":"0x6","TargetUserName":"ann"}"#;
    assert_eq!(summary(None, kerberos), "token.issue failure actor.type=user actor.name=ann");
    let started = r#"{"EventID":4688,"Channel":"security","SubjectUserSid":"S-1-5-18","NewProcessName":"C:\\a \"b\".exe",
        "Keywords":"0x8020000000000000"}"#;
    assert_eq!(
        summary(None, started),
        "process.start success actor.id=S-1-5-18 actor.type=system target=process:C:\\a \"b\".exe"
    );
    let cleared = r#"{"EventID":1102,"Channel":"Security","SourceName":"Microsoft-Windows-Eventlog"}"#;
    assert_eq!(summary(None, cleared), "windows-security.1102 unknown class=critical severity=high");
    let sysmon = r#"{"EventID":10,"Channel":"Microsoft-Windows-Sysmon/Operational","UserID":"S-1-5-18","AccountName":"SYSTEM",
        "UtcTime":"2020-09-22 02:13:35.000","TargetImage":"lsass.exe","Level":2}"#;
    assert_eq!(
        summary(None, sysmon),
        "windows-sysmon.10 unknown severity=medium time=1600740815000000000 actor.id=S-1-5-18 actor.type=system actor.name=SYSTEM \
         target=process:lsass.exe"
    );
    for (channel, action) in [
        ("Windows PowerShell", "windows-powershell.800"),
        ("Microsoft-Windows-WMI-Activity/Operational", "windows-wmi-activity.800"),
        ("Directory Service", "windows-directory-service.800"),
        ("Microsoft-Exchange-ActiveMonitoring/MonitorResult", "windows-microsoft-exchange-activemonitoring-monitorresult.800"),
    ] {
        assert_eq!(summary(None, &format!(r#"{{"EventID":800,"Channel":"{channel}"}}"#)), format!("{action} unknown"));
    }
}

#[test]
fn windows_shapes_say_the_same() {
    let evtx = r##"{"Event":{"#attributes":{"xmlns":"x"},"System":{"EventID":4720,"Channel":"Security","Computer":"dc",
        "TimeCreated":{"#attributes":{"SystemTime":"2025-12-11T06:17:19.772545Z"}},"Keywords":"0x8020000000000000",
        "Security":{"#attributes":{"UserID":"S-1-5-18"}}},"EventData":{"SubjectUserName":"ann","TargetUserName":"bob"}}}"##;
    let winlogbeat = r#"{"@timestamp":"2025-12-11T06:17:19.772545Z","winlog":{"event_id":4720,"channel":"Security","computer_name":"dc",
        "keywords":["Audit Success"],"event_data":{"SubjectUserName":"ann","TargetUserName":"bob"}}}"#;
    let flat = r#"{"EventID":4720,"Channel":"Security","Computer":"dc","TimeCreated":{"SystemTime":"2025-12-11T06:17:19.772545Z"},
        "Keywords":"0x8020000000000000","EventData":{"SubjectUserName":"ann","TargetUserName":"bob"}}"#;
    for record in [evtx, winlogbeat, flat] {
        assert_eq!(
            summary(None, record),
            "account.create success time=1765433839772545000 actor.type=user actor.name=ann host=dc",
            "{record}"
        );
    }
}

#[test]
fn a_time_without_a_zone_is_left_out_and_noted() {
    let mut adapter = Adapter::new(None);
    for (record, zoneless, unreadable) in [
        (r#"{"EventID":1,"Channel":"System","TimeCreated":"2020-10-18 03:38:05.959"}"#, true, false),
        (
            r#"{"EventID":1,"Channel":"System","EventTime":"2020-10-18 03:38:05","@timestamp":"2020-10-18T03:38:05Z"}"#,
            false,
            false,
        ),
        (r#"{"CreationTime":"2024-01-15T10:30:00"}"#, true, false),
        (r#"{"time":"yesterday"}"#, false, true),
        (r#"{"time":12}"#, false, true),
        (r#"{"a":1}"#, false, false),
    ] {
        let adapted = adapt_and_check(&mut adapter, record.as_bytes(), |draft| draft.time.is_some()).unwrap();
        assert_eq!((adapted.notes.zoneless_time, adapted.notes.unreadable_time), (zoneless, unreadable), "{record}");
        assert_eq!(adapted.result, record.contains("03:38:05Z"), "{record}");
    }
}

#[test]
fn any_other_json_is_read_by_the_keys_most_logs_use() {
    let application = r#"{"ts":1705314600.25,"level":"warn","event":"repo.delete","userId":42,"username":"ann","email":"a@x",
        "client_ip":"10.0.0.7","user-agent":"curl","sessionId":"s1","repo":"lab","success":false,"event_id":"e-1",
        "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
    assert_eq!(
        summary(None, application),
        "repo.delete failure severity=low id=e-1 time=1705314600250000000 actor.id=42 actor.name=ann actor.email=a@x session=s1 \
         ip=10.0.0.7 user_agent=curl target=::lab trace=4b…"
    );
    let elastic = r#"{"@timestamp":"2024-01-15T10:30:00Z","event":{"action":"ssh_login","outcome":"failure","id":"1"},
        "user":{"name":"ann","id":"7"},"source":{"ip":"10.0.0.7","port":22},"user_agent":{"original":"curl"},"host":{"name":"web"}}"#;
    assert_eq!(
        summary(None, elastic),
        "event.ssh_login failure id=1 time=1705314600000000000 actor.id=7 actor.name=ann ip=10.0.0.7 user_agent=curl host=web"
    );
    let okta = r#"{"eventType":"user.session.start","published":"2024-01-15T10:30:00.000Z","actor":{"id":"00u","alternateId":"a@x",
        "displayName":"Ann","type":"User"},"outcome":{"result":"SUCCESS"},"client":{"ipAddress":"10.0.0.7"},"uuid":"u1",
        "target":[{"id":"app","type":"AppInstance","displayName":"Wiki"}]}"#;
    assert_eq!(
        summary(None, okta),
        "user.session.start success id=u1 time=1705314600000000000 actor.id=00u actor.type=User actor.name=Ann actor.email=a@x \
         ip=10.0.0.7 target=AppInstance:app:Wiki"
    );
    assert_eq!(summary(None, r#"{"action":"login","user":"ann","status":401}"#), "user.login denied actor.name=ann");
    assert_eq!(summary(None, "{}"), "record.import unknown");
}

#[test]
fn the_source_is_told() {
    for format in Format::ALL {
        let source = Adapter::new(Some(*format)).adapt(b"{}", |draft| draft.source.to_owned()).unwrap().result;
        assert_eq!(source, format.source());
    }
}
